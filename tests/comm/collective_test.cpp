#include "comm/collective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "comm/local_tree.h"
#include "comm/mpi_calls.h"
#include "comm/shared_memory_collective.h"
#include "comm/team_work.h"
#include "support/allocation_watch.h"
#include "tensor/parameters.h"
#include "tree_reference.h"

namespace lockstep::comm {
namespace {

constexpr const char* variable = "LOCKSTEP_COLLECTIVE";

/// Everything that a rank of a trainer has, on `shards` shards of `blocks` blocks.
struct Rank {
  World& world;
  std::int64_t shards;
  std::int64_t size;
  Range own_shards;
  std::unique_ptr<Collective> collective;
  std::span<float> weights;
  LocalTree tree;

  Rank(World& w, std::unique_ptr<Collective> made, std::int64_t shard_count, std::int64_t blocks)
      : world(w),
        shards(shard_count),
        size(blocks * Parameters::block),
        own_shards(shards_of_rank(shards, world.size(), world.rank())),
        collective(std::move(made)),
        weights(collective->make_slab()),
        tree(own_shards, shards, make_slabs()) {}

  std::vector<std::span<float>> make_slabs() const {
    std::int64_t count = LocalTree::slabs_needed(own_shards, shards, int{workers});
    world.max({&count, 1});  // as many on all ranks
    std::vector<std::span<float>> slabs;
    while (std::ssize(slabs) < count) slabs.push_back(collective->make_slab());
    return slabs;
  }

  /// The own shards, up to `workers` of them under way at once, finished in an order that depends on the
  /// rank.
  std::span<const Partial> compute(const testing::Step& step) {
    std::minstd_rand random(static_cast<unsigned>(step.seed) * 100 + static_cast<unsigned>(world.rank()) + 1);
    tree.reset();
    for (std::int64_t next = own_shards.begin; next < own_shards.end || busy_count > 0;) {
      if (next < own_shards.end && busy_count < workers) {
        busy[busy_count] = {next, tree.take_slab()};
        testing::fill_gradient(step, next++, busy[busy_count++].slab);
        continue;
      }
      std::swap(busy[random() % busy_count], busy[busy_count - 1]);
      --busy_count;
      tree.add(busy[busy_count].shard, busy[busy_count].slab);
    }
    return tree.partials();
  }

  /// A step's 'optimizer': writes the mean gradient over the own slice of the weights.
  void update(const testing::Step& step) {
    const std::span<const SlicePartial> partials = collective->exchange(compute(step));
    const Range own = collective->own_slice();
    for (std::int64_t first = 0; first < own.size(); first += 700) {
      const std::int64_t count = std::min<std::int64_t>(700, own.size() - first);
      finish_tree(
          partials, shards, first, static_cast<float>(step.samples),
          weights.subspan(static_cast<std::size_t>(own.begin + first), static_cast<std::size_t>(count)));
    }
  }
  void run(const testing::Step& step) {
    update(step);
    collective->all_gather(weights);
  }

  static constexpr std::size_t workers = 3;
  struct Busy {
    std::int64_t shard;
    std::span<float> slab;
  };
  std::array<Busy, workers> busy = {};
  std::size_t busy_count = 0;
};

/// Neighbours are on different hosts, as `mpirun --map-by node` places them; no other kind makes such hosts.
constexpr const char* alternating = "alternating";

/// Runs each test with what Lockstep would choose, with messages, and with ranks spread over several hosts: 2
/// or 3 neighbours on each, which leaves fewer for the last one, or two hosts in turn.
class EveryCollective : public ::testing::TestWithParam<const char*> {
 protected:
  EveryCollective() {
    if (!alternates()) setenv(variable, GetParam(), 1);
  }
  ~EveryCollective() override { unsetenv(variable); }
  void SetUp() override {
    const bool is_alone = world_.size() == 1 && alternates();
    if (is_alone || ranks_on_a_host() >= world_.size())
      GTEST_SKIP() << "not run: the same as another kind on these ranks";
  }

  /// N of "hosts:N"; 0 for other kinds.
  [[nodiscard]] static int ranks_on_a_host() {
    const std::string_view kind = GetParam();
    return kind.starts_with("hosts:") ? kind.back() - '0' : 0;
  }
  [[nodiscard]] static bool alternates() { return GetParam() == std::string(alternating); }

  [[nodiscard]] std::unique_ptr<Collective> make(std::int64_t blocks, std::int64_t shards) {
    const std::int64_t size = blocks * Parameters::block;
    if (!alternates()) return make_collective(world_, size, shards);
    std::vector<std::string> names;
    for (int rank = 0; rank < world_.size(); ++rank) names.emplace_back(rank % 2 == 0 ? "even" : "odd");
    return std::make_unique<SharedMemoryCollective>(world_, Hosts(names), size, shards);
  }
  [[nodiscard]] Rank make_rank(std::int64_t shards, std::int64_t blocks) {
    return {world_, make(blocks, shards), shards, blocks};
  }

  /// The rank at this place of the own team: teams are those of the hosts.
  [[nodiscard]] int rank_at(int place, const Collective& collective) const {
    if (alternates()) return 2 * place + world_.rank() % 2;
    if (ranks_on_a_host() > 0) return world_.rank() / ranks_on_a_host() * ranks_on_a_host() + place;
    return collective.name() == "shared memory" ? place : world_.rank() + place;  // alone in it: place 0
  }

  [[nodiscard]] std::int64_t fewest_shards() const {
    std::int64_t shards = 1;
    while (shards < world_.size()) shards *= 2;
    return shards;
  }

  World world_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, EveryCollective,
                         ::testing::Values("", "mpi", "hosts:2", "hosts:3", alternating),
                         [](const auto& info) {
                           std::string name = *info.param == '\0' ? "chosen" : info.param;
                           std::erase(name, ':');
                           return name;
                         });

TEST_P(EveryCollective, IsTheOneAskedFor) {
  if (alternates()) return;
  std::string expected = "shared memory";
  if (world_.size() == 1)
    expected = "self";
  else if (GetParam() == std::string("mpi"))
    expected = "mpi";
  else if (ranks_on_a_host() > 0)
    expected = "shared memory and messages";
  EXPECT_EQ(make(1, fewest_shards())->name(), expected);
}

TEST_P(EveryCollective, MakesSlabsOfZerosOnCacheLines) {
  const auto collective = make(3, fewest_shards());
  for (int i = 0; i < 3; ++i) {
    const std::span<float> slab = collective->make_slab();
    ASSERT_EQ(std::ssize(slab), 3 * Parameters::block);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slab.data()) % 64, 0U);
    EXPECT_TRUE(std::all_of(slab.begin(), slab.end(), [](float value) { return value == 0.0F; }));
    std::fill(slab.begin(), slab.end(), 1.0F + world_.rank());
  }
}

/// The contract of src/comm/README.md, on thousands of steps of any shape. Each rank looks at some part of
/// the weights, another in each step.
TEST_P(EveryCollective, GivesTheBitsOfTheModel) {
  const std::string_view kind = GetParam();
  std::mt19937_64 random(std::accumulate(kind.begin(), kind.end(), 2024U));  // the same shapes on all ranks
  std::mt19937_64 own_random(static_cast<std::uint64_t>(world_.rank()));
  for (int round = 0; round < 20; ++round) {
    const std::int64_t shards = std::max(std::int64_t{1} << (random() % 7), fewest_shards());
    const std::int64_t blocks = 1 + static_cast<std::int64_t>(random() % (round % 10 == 0 ? 9 : 2));
    Rank rank = make_rank(shards, blocks);
    for (int repeat = 0; repeat < 25; ++repeat) {
      const std::uint64_t most_samples = repeat == 0 ? 300 : 30;
      const testing::Step step{random(), 1 + static_cast<std::int64_t>(random() % most_samples), shards};
      rank.run(step);
      const Range part = piece(rank.size, 4 * blocks, static_cast<std::int64_t>(own_random() % (4 * blocks)));
      const auto weights = rank.weights.subspan(static_cast<std::size_t>(part.begin), part.size());
      ASSERT_EQ(testing::first_difference(weights, testing::reference_mean(step, part)), -1)
          << shards << " shards, " << blocks << " blocks, " << step.samples << " samples, seed " << step.seed
          << ", floats from " << part.begin;
    }
  }
}

/// Ranks that are late in turn: a missing meeting, or a slab that is reused too early, shows as other bits.
TEST_P(EveryCollective, KeepsRanksInStep) {
  const std::int64_t shards = std::max<std::int64_t>(8, fewest_shards());
  Rank rank = make_rank(shards, 24);
  std::vector<std::vector<float>> expected;
  for (std::uint64_t step = 0; step < 5; ++step)
    expected.push_back(testing::reference_mean({step, 12, shards}, {0, rank.size}));
  for (std::uint64_t step = 0; step < 40; ++step) {
    if (static_cast<int>(step) % world_.size() == world_.rank())
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    rank.run({step % 5, 12, shards});
    ASSERT_EQ(testing::first_difference(rank.weights, expected[step % 5]), -1) << "step " << step;
  }
}

TEST_P(EveryCollective, GathersWithoutAnExchange) {
  const auto collective = make(7, fewest_shards());
  const std::span<float> weights = collective->make_slab();
  const auto value = [](int round, std::int64_t i) { return static_cast<float>(round * 100'000 + i); };
  for (int round = 0; round < 50; ++round) {
    const Range own = collective->own_slice();
    for (std::int64_t i = own.begin; i < own.end; ++i) weights[static_cast<std::size_t>(i)] = value(round, i);
    if (round % world_.size() == world_.rank()) std::this_thread::sleep_for(std::chrono::microseconds(200));
    collective->all_gather(weights);
    for (std::int64_t i = 0; i < std::ssize(weights); ++i)
      ASSERT_EQ(weights[static_cast<std::size_t>(i)], value(round, i)) << "round " << round << ", " << i;
  }
}

/// Each rank of a team writes its part of the common memory, and after a meeting sees those of all, in steps
/// in which ranks are late in turn.
TEST_P(EveryCollective, HasMemoryInCommonWithinATeam) {
  constexpr std::int64_t floats = 10'000;
  Rank rank = make_rank(fewest_shards(), 3);
  const std::span<float> common = rank.collective->make_common(floats, "numbers");
  const auto [size, place] = rank.collective->team();
  ASSERT_EQ(std::ssize(common), floats);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(common.data()) % 64, 0U);
  for (const float value : common) ASSERT_EQ(value, 0);
  world_.barrier();

  EXPECT_EQ(rank_at(place, *rank.collective), world_.rank());
  std::int64_t sum = size;
  world_.sum({&sum, 1});
  std::int64_t teams = place == 0 ? size * size : 0;
  world_.sum({&teams, 1});
  EXPECT_EQ(sum, teams) << "as many ranks say a size as there are in a team of that size";

  for (int step = 1; step <= 40; ++step) {
    if (step % world_.size() == world_.rank()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    for (std::int64_t i = place; i < floats; i += size)
      common[static_cast<std::size_t>(i)] = static_cast<float>(step * floats + i);
    rank.collective->meet_team();
    for (std::int64_t i = 0; i < floats; ++i)
      ASSERT_EQ(common[static_cast<std::size_t>(i)], static_cast<float>(step * floats + i)) << step;
    rank.run({static_cast<std::uint64_t>(step), 20, rank.shards});
  }
}

/// A slice that a rank of the team has handed on can be read by who has seen an offer that it made behind
/// that, and all of the weights after the meeting; in steps in which ranks are late in turn.
TEST_P(EveryCollective, HandsOnASliceBeforeTheMeeting) {
  const std::int64_t shards = std::max<std::int64_t>(8, fewest_shards());
  Rank rank = make_rank(shards, 24);
  TeamWork work(*rank.collective, 1, 1, "numbers");
  for (int place = 0; place < work.ranks(); ++place)
    ASSERT_EQ(rank.collective->slice_at(place), rank.collective->slice(rank_at(place, *rank.collective)));

  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const testing::Step step{seed, 12, shards};
    const std::vector<float> expected = testing::reference_mean(step, {0, rank.size});
    const auto expect_slice_of = [&](int place) {
      const Range slice = rank.collective->slice_at(place);
      const auto part = [&](std::span<const float> slab) {
        return slab.subspan(static_cast<std::size_t>(slice.begin), static_cast<std::size_t>(slice.size()));
      };
      EXPECT_EQ(testing::first_difference(part(rank.weights), part(expected)), -1)
          << "step " << seed << ", place " << place;
    };
    if (static_cast<int>(seed) % world_.size() == world_.rank())
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    rank.update(step);
    rank.collective->hand_on(rank.weights);
    {
      TeamWork::Round round(work);
      round.offer(2);
      while (const auto piece = round.take(true)) expect_slice_of(piece->place());
      for (int place = 0; place < work.ranks(); ++place) expect_slice_of(place);
    }
    rank.collective->meet_team();
    ASSERT_EQ(testing::first_difference(rank.weights, expected), -1) << "step " << seed;
  }
}

TEST_P(EveryCollective, CanGiveUpAStep) {
  const std::int64_t shards = std::max<std::int64_t>(8, fewest_shards());
  Rank rank = make_rank(shards, 9);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    static_cast<void>(rank.collective->exchange(rank.compute({seed, 20, shards})));
    world_.barrier();  // as the contract asks for
    const testing::Step step{seed + 1000, 21, shards};
    rank.run(step);
    ASSERT_EQ(testing::first_difference(rank.weights, testing::reference_mean(step, {0, rank.size})), -1);
  }
}

TEST_P(EveryCollective, AllReduces) {
  const auto collective = make(1, fewest_shards());
  std::vector<float> values(5000);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>((world_.rank() + 1) * static_cast<int>(i));
  collective->all_reduce(values);
  const int ranks = world_.size() * (world_.size() + 1) / 2;
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(values[i], static_cast<float>(ranks * static_cast<int>(i)));
}

TEST_P(EveryCollective, AllocatesNothingInAStep) {
  Rank rank = make_rank(std::max<std::int64_t>(16, fewest_shards()), 5);
  rank.run({0, 40, rank.shards});
  lockstep::testing::start_watching();
  for (std::uint64_t step = 1; step < 4; ++step) rank.run({step, 40, rank.shards});
  const lockstep::testing::Allocations made = lockstep::testing::stop_watching();
  EXPECT_EQ(made.own, 0) << made.first_own;
}

TEST_P(EveryCollective, RefusesOtherPartialSums) {
  const std::int64_t shards = 2 * fewest_shards();
  Rank rank = make_rank(shards, 2);
  const std::span<const Partial> computed = rank.compute({1, 20, shards});
  std::vector<Partial> partials(computed.begin(), computed.end());
  EXPECT_THROW(static_cast<void>(rank.collective->exchange({})), Error);
  partials.back().tree = partials.back().tree.parent();
  EXPECT_THROW(static_cast<void>(rank.collective->exchange(partials)), Error);
  rank.run({2, 20, shards});  // nothing was left half done
  EXPECT_EQ(testing::first_difference(rank.weights, testing::reference_mean({2, 20, shards}, {0, rank.size})),
            -1);
}

TEST_P(EveryCollective, CountsTheBytesThatItSends) {
  constexpr std::int64_t blocks = 24;
  const std::int64_t shards = std::max<std::int64_t>(8, fewest_shards());
  const auto collective = make(blocks, shards);
  const std::int64_t each_to_each =
      bytes_per_step(blocks * Parameters::block, shards, world_.size(), world_.rank());
  if (collective->name() != "shared memory and messages") {
    EXPECT_EQ(collective->bytes_per_step(), each_to_each);
    EXPECT_EQ(collective->bytes_per_step() == 0, world_.size() == 1);
    return;
  }
  if (world_.size() == 4 && GetParam() == std::string("hosts:2")) {
    // A quarter of the slab each: gradients of the neighbour's slice, those of both for a slice over there,
    // the own weights to the neighbour and over there, and weights from there to the neighbour.
    const std::int64_t slab_bytes = blocks * Parameters::block * static_cast<std::int64_t>(sizeof(float));
    EXPECT_EQ(collective->bytes_per_step(), 5 * slab_bytes / 4);
  }
  std::int64_t sent = collective->bytes_per_step();
  std::int64_t sent_each_to_each = each_to_each;
  world_.sum({&sent, 1});
  world_.sum({&sent_each_to_each, 1});
  EXPECT_GT(sent, 0);
  EXPECT_LE(sent, sent_each_to_each);
}

TEST(MakeCollective, RefusesAnUnknownKind) {
  World world;
  for (const std::string kind : {"carrier pigeon", "hosts", "hosts:", "hosts:0", "hosts:2 ", "hosts:-1"}) {
    setenv(variable, kind.c_str(), 1);
    try {
      static_cast<void>(make_collective(world, Parameters::block, 64));
      ADD_FAILURE() << kind << " was accepted";
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_THAT(error.what(), ::testing::StartsWith("LOCKSTEP_COLLECTIVE=" + kind + ": "));
    }
  }
  unsetenv(variable);
}

TEST(MakeCollective, RefusesRanksThatAskForDifferentKinds) {
  World world;
  const int last = world.size() - 1;
  if (world.rank() == last) setenv(variable, "mpi", 1);
  std::string message;
  try {
    static_cast<void>(make_collective(world, Parameters::block, 64));
  } catch (const AgreedError& error) {
    message = error.what();
  }
  unsetenv(variable);
  if (world.size() == 1)
    EXPECT_EQ(message, "");
  else
    EXPECT_THAT(message, ::testing::AllOf(::testing::HasSubstr("is '' on rank 0 on "),
                                          ::testing::HasSubstr(fmt::format("'mpi' on rank {} on ", last))));
}

}  // namespace
}  // namespace lockstep::comm
