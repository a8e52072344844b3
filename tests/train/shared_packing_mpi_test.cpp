// The ranks of a host pack weights together, once for all of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "device/cpu/fused/choice.h"
#include "device/network_builder.h"
#include "train/hooked_backend.h"
#include "train/plan_check.h"
#include "train/shard_engine.h"

namespace lockstep::train {
namespace {

using device::Mode;

/// With packed weights of each kind.
device::Network make_network() {
  return testing::NetworkBuilder({1, 12, 12})
      .conv(8, 5)
      .relu()
      .max_pool(2)
      .conv(48, 3)
      .relu()
      .flatten()
      .dense(64)
      .relu()
      .dense(10)
      .build();
}

class SharedPacking : public ::testing::TestWithParam<const char*> {
 protected:
  SharedPacking() { setenv("LOCKSTEP_COLLECTIVE", GetParam(), 1); }
  ~SharedPacking() override { unsetenv("LOCKSTEP_COLLECTIVE"); }

  /// Whose bits differ from call to call.
  [[nodiscard]] std::vector<float> weights(float scale) const {
    std::vector<float> slab(static_cast<std::size_t>(network_.parameters.slab_size()));
    generate_weights(network_.parameters, slab);
    std::ranges::transform(slab, slab.begin(), [scale](float value) { return value * scale; });
    return slab;
  }
  [[nodiscard]] std::vector<PlanHash> run(ShardEngine& engine, std::span<const float> slab) const {
    engine.weights_changed(slab);
    std::vector<float> gradient(slab.size());
    return engine.hash_plans(gradient);
  }

  /// Lets messages get on meanwhile.
  static bool becomes_true(const std::atomic_ref<float>& flag, comm::Collective& collective) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    comm::Collective::Patience patience(collective, true);
    while (flag.load() == 0 && std::chrono::steady_clock::now() < end) patience.wait();
    return flag.load() != 0;
  }

  comm::World world_;
  device::Network network_ = make_network();
  std::mutex mutex_;
  std::vector<std::int64_t> packed_;  // pieces, by this rank
  bool late_ = false;
  testing::Hooks hooks_{.before = {}, .after = {}, .evaluating = {}, .packing = [this](std::int64_t piece) {
                          const std::scoped_lock lock(mutex_);
                          packed_.push_back(piece);
                          if (late_) std::this_thread::sleep_for(std::chrono::milliseconds(2));
                        }};
  std::unique_ptr<device::Backend> backend_ = testing::make_hooked_backend(hooks_);
};
INSTANTIATE_TEST_SUITE_P(Kinds, SharedPacking, ::testing::Values("", "mpi", "hosts:2"), [](const auto& info) {
  std::string name = *info.param == '\0' ? "chosen" : info.param;
  std::erase(name, ':');
  return name;
});

TEST_P(SharedPacking, GivesTheBitsOfEachRanksOwnAndPacksEachPieceOnceInATeam) {
  // Of 17 samples in eight shards each but one has two; of three most ranks have none, and help all the same.
  for (const std::int64_t samples : {17, 3}) {
    const data::Stripes stripes(samples, samples, 8);
    const Range shards = comm::shards_of_rank(8, world_.size(), world_.rank());
    WorkerPool workers(1 + world_.rank() % 2, device::prepare_cpu_thread);
    const auto collective = comm::make_collective(world_, network_.parameters.slab_size(), 8);
    const auto plain = device::make_cpu_backend();
    ShardEngine own(*plain, network_, Mode::training, stripes, shards, workers);
    ShardEngine shared(*backend_, network_, Mode::training, stripes, shards, workers);
    shared.share_packing(*collective, Ownership::slices);
    const std::int64_t pieces = backend_->plan(network_, 1, Mode::training)->packing().pieces;

    for (const float scale : {1.0F, 0.5F, 2.0F, 3.0F}) {
      packed_.clear();
      late_ = static_cast<int>(scale * 2) % world_.size() == world_.rank();
      const std::vector<float> slab = weights(scale);
      const std::vector<PlanHash> expected = run(own, slab);
      const std::vector<PlanHash> found = run(shared, slab);
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].hash, expected[i].hash) << scale;
      world_.barrier();  // nobody packs anew while others compute

      std::vector<std::int64_t> by_piece(static_cast<std::size_t>(pieces));
      for (const std::int64_t piece : packed_) ++by_piece.at(static_cast<std::size_t>(piece));
      world_.sum(by_piece);
      std::int64_t teams = collective->team().place == 0 ? 1 : 0;
      world_.sum({&teams, 1});
      EXPECT_THAT(by_piece, ::testing::Each(teams));
    }
  }
}

/// What a rank has not handed on yet is no number. The late one hands on its slice when another of its team
/// has begun.
TEST_P(SharedPacking, BeginsWithWhatIsThereAndWaitsForTheRest) {
  // So many panels that each slice holds some, and others lie in two.
  const device::Network network = testing::NetworkBuilder({64}).dense(4096).build();
  const data::Stripes stripes(16, 16, 8);
  const Range shards = comm::shards_of_rank(8, world_.size(), world_.rank());
  WorkerPool workers(2, device::prepare_cpu_thread);
  const auto collective = comm::make_collective(world_, network.parameters.slab_size(), 8);
  const auto plain = device::make_cpu_backend();
  ShardEngine own(*plain, network, Mode::training, stripes, shards, workers);
  ShardEngine shared(*backend_, network, Mode::training, stripes, shards, workers);
  const std::span<float> slab = collective->make_slab();
  std::vector<comm::Partial> partials;
  for (const comm::Subtree& tree : comm::subtrees(shards, 8))
    partials.push_back({tree, collective->make_slab().data()});
  for (std::size_t i = partials.size(); i < 8; ++i) collective->make_slab();  // as many on all ranks
  shared.share_packing(*collective, Ownership::slices);
  ASSERT_EQ(shared.packs_together(), device::cpu::fused::processor_suits());
  if (!shared.packs_together()) GTEST_SKIP() << "not run: nothing is packed for this processor";
  const std::atomic_ref<float> begun(collective->make_common(1, "a flag").front());
  hooks_.packing = [&](std::int64_t /*piece*/) { begun.store(1); };

  for (int late = 0; late < world_.size(); ++late) {
    std::vector<float> weights(slab.size());
    generate_weights(network.parameters, weights);
    for (float& weight : weights) weight *= static_cast<float>(1 + late);
    const std::vector<PlanHash> expected = run(own, weights);
    const Range slice = collective->own_slice();
    std::ranges::fill(slab, std::numeric_limits<float>::quiet_NaN());
    begun.store(0);
    world_.barrier();
    collective->exchange(partials);
    if (late == world_.rank() && collective->team().size > 1) {
      EXPECT_TRUE(becomes_true(begun, *collective));
    }
    std::copy_n(weights.begin() + slice.begin, slice.size(), slab.begin() + slice.begin);
    collective->hand_on(slab);
    const std::vector<PlanHash> found = run(shared, slab);
    EXPECT_TRUE(std::ranges::equal(slab, weights)) << "all have handed on theirs";
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].hash, expected[i].hash) << late;
    world_.barrier();  // nobody packs anew while others compute
  }
}

TEST_P(SharedPacking, KeepsOneCopyInATeam) {
  const data::Stripes stripes(16, 16, 8);
  WorkerPool workers(1, device::prepare_cpu_thread);
  const auto collective = comm::make_collective(world_, network_.parameters.slab_size(), 8);
  ShardEngine engine(*backend_, network_, Mode::training, stripes,
                     comm::shards_of_rank(8, world_.size(), world_.rank()), workers);
  const std::int64_t alone = engine.bytes();
  engine.share_packing(*collective, Ownership::slices);
  const std::int64_t packed =
      backend_->plan(network_, 1, Mode::training)->packing().floats * std::int64_t{sizeof(float)};
  EXPECT_EQ(engine.bytes(), collective->team().place == 0 ? alone : alone - packed);
}

}  // namespace
}  // namespace lockstep::train
