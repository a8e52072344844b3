#include "train/memory_check.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>
#include <tuple>

#include "base/aligned_buffer.h"
#include "comm/collective.h"
#include "train/status.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

void prepare_nothing() {}

/// A model of several blocks, or of one, which leaves all ranks but one without a slice.
enum class Size : std::uint8_t { several_blocks, one_block };

/// Every rank has a copy of the weights and owns a slice of them, or all, with two states.
class MemoryCheckOnRanks : public ::testing::TestWithParam<std::tuple<Ownership, Size>> {
 protected:
  MemoryCheckOnRanks() {
    parameters_.declare("fc1.weight", {10, 20});
    parameters_.declare("fc1.bias", {10});
    if (std::get<Size>(GetParam()) == Size::several_blocks) parameters_.declare("fc2.weight", {200, 50});
    const std::int64_t size = parameters_.slab_size();
    const auto ownership = std::get<Ownership>(GetParam());
    owned_ = ownership == Ownership::everything ? Range{0, size}
                                                : comm::slice_of_rank(size, world_.size(), world_.rank());
    weights_ = AlignedBuffer<float>(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i) weights_.data()[i] = static_cast<float>(i) / 3;
    for (AlignedBuffer<float>& state : states_) {
      state = AlignedBuffer<float>(static_cast<std::size_t>(owned_.size()));
      for (std::int64_t i = 0; i < owned_.size(); ++i)
        state.data()[i] = static_cast<float>(owned_.begin + i) / 5;
    }
    use(config::MemoryChecks::stop);
  }

  void use(config::MemoryChecks setting) {
    check_.emplace(
        parameters_, std::get<Ownership>(GetParam()), owned_,
        std::vector<optim::Optimizer::State>{{"moment1", states_[0].span()}, {"moment2", states_[1].span()}},
        workers_, setting);
    check_->record(owned_.begin, weights_.span().subspan(static_cast<std::size_t>(owned_.begin),
                                                         static_cast<std::size_t>(owned_.size())));
  }

  StepStatus share() {
    RankStatus own;
    own.memory = check_->look(weights_.span());
    return share_status(world_, own);
  }

  std::string message() {
    try {
      check_->report(world_, weights_.span(), 17);
    } catch (const comm::AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::internal);
      return error.what();
    }
  }

  static void flip(std::span<float> values, std::mt19937& random) {
    float& value = values[random() % values.size()];
    value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ (1U << (random() % 32)));
  }

  /// The rank in whose memory a bit flips, the same choice on all.
  int victim(std::mt19937& random) const {
    return static_cast<int>(random() % static_cast<unsigned>(world_.size()));
  }

  comm::World world_;
  Parameters parameters_;
  WorkerPool workers_{2, prepare_nothing};
  Range owned_;
  AlignedBuffer<float> weights_;
  std::array<AlignedBuffer<float>, 2> states_;
  std::optional<MemoryCheck> check_;
};

TEST_P(MemoryCheckOnRanks, WhatWasWrittenIsFoundAgain) {
  const StepStatus status = share();
  EXPECT_FALSE(status.memory_damaged);
  EXPECT_EQ(status.weights_digest, slab_hash(SlabKind::weights, 0, weights_.span()));
}

TEST_P(MemoryCheckOnRanks, AnyFlippedBitOfACopyIsNoticedByAllRanksAndNamed) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 50; ++trial) {
    const int rank = victim(random);
    const std::vector<float> before(weights_.span().begin(), weights_.span().end());
    if (world_.rank() == rank)
      flip(weights_.span(), random);
    else
      random.discard(2);  // as many as flip() takes
    EXPECT_TRUE(share().memory_damaged);
    const std::string text = message();
    EXPECT_THAT(text, HasSubstr("before step 17: bits of the weights (fc"));
    EXPECT_THAT(text, StartsWith("rank " + std::to_string(rank) + " on "));
    std::copy(before.begin(), before.end(), weights_.span().begin());
    EXPECT_FALSE(share().memory_damaged);
  }
}

TEST_P(MemoryCheckOnRanks, AFlippedBitOfTheStateIsNoticed) {
  std::mt19937 random(8);
  for (int trial = 0; trial < 50; ++trial) {
    const int rank = victim(random);
    AlignedBuffer<float>& state = states_[random() % 2];
    const std::vector<float> before(state.span().begin(), state.span().end());
    const bool hit = world_.rank() == rank && !state.span().empty();
    if (hit)
      flip(state.span(), random);
    else
      random.discard(2);
    std::int64_t hits = hit ? 1 : 0;
    world_.sum({&hits, 1});  // a rank that owns nothing has no state
    EXPECT_EQ(share().memory_damaged, hits == 1);
    if (hits == 1) {
      EXPECT_THAT(message(), HasSubstr("bits of the optimizer's state (fc"));
    }
    std::copy(before.begin(), before.end(), state.span().begin());
  }
}

TEST_P(MemoryCheckOnRanks, DamageThatIsGoneAgainIsStillAnEnd) {
  EXPECT_THAT(message(), HasSubstr("a hash of the weights did not fit"));
}

TEST_P(MemoryCheckOnRanks, WithoutLookingTheDigestIsThatOfTheOwners) {
  const std::uint64_t whole = slab_hash(SlabKind::weights, 0, weights_.span());
  use(config::MemoryChecks::off);
  weights_[3] += 1;
  const StepStatus status = share();
  EXPECT_FALSE(status.memory_damaged);
  EXPECT_EQ(status.weights_digest, whole);
}

TEST_P(MemoryCheckOnRanks, AnyFlippedBitOfACopyIsRepaired) {
  if (world_.size() == 1) GTEST_SKIP() << "not run: a rank alone has nobody to fetch weights from";
  use(config::MemoryChecks::repair);
  std::mt19937 random(9);
  const std::vector<float> before(weights_.span().begin(), weights_.span().end());
  for (std::int64_t trial = 0; trial < 10; ++trial) {
    const int rank = victim(random);
    if (world_.rank() == rank)
      for (int flips = 0; flips < 3; ++flips) flip(weights_.span(), random);
    else
      random.discard(6);
    if (!share().memory_damaged) continue;  // a bit was flipped back
    ::testing::internal::CaptureStderr();
    check_->repair(world_, weights_.span(), 100 * trial);
    const std::string warning = ::testing::internal::GetCapturedStderr();
    if (world_.is_root()) {
      EXPECT_THAT(warning, HasSubstr(fmt::format("before step {}: bits of the weights (fc", 100 * trial)));
      EXPECT_THAT(warning, HasSubstr(fmt::format("changed in the memory of rank {} on ", rank)));
    } else {
      EXPECT_EQ(warning, "");
    }
    EXPECT_TRUE(std::ranges::equal(weights_.span(), before));
    EXPECT_FALSE(share().memory_damaged);
  }
}

TEST_P(MemoryCheckOnRanks, MemoryThatFailsTooOftenIsNotRepaired) {
  use(config::MemoryChecks::repair);
  const auto repair_at = [&](std::int64_t step) -> std::string {
    try {
      if (world_.rank() + 1 == world_.size()) weights_[3] += 1;
      check_->repair(world_, weights_.span(), step);
    } catch (const comm::AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::internal);
      return error.what();
    }
    return "";
  };
  if (world_.size() == 1) {
    EXPECT_THAT(repair_at(1), HasSubstr("No rank has them whole, to repair them."));
    return;
  }
  for (const std::int64_t step : {1, 2, 90}) EXPECT_EQ(repair_at(step), "");
  EXPECT_THAT(repair_at(100), HasSubstr("repaired 3 times in the last 100 steps"));
}

TEST_P(MemoryCheckOnRanks, DamagedStateIsNotRepaired) {
  use(config::MemoryChecks::repair);
  weights_[3] += world_.is_root() ? 1 : 0;
  const bool last_owner = owned_.end == std::ssize(weights_.span()) && !owned_.empty() &&
                          (std::get<Ownership>(GetParam()) == Ownership::slices || world_.is_root());
  if (last_owner) states_[1][0] += 1;
  try {
    check_->repair(world_, weights_.span(), 5);
    FAIL() << "state was repaired";
  } catch (const comm::AgreedError& error) {
    EXPECT_THAT(error.what(), HasSubstr("before step 5: bits of the optimizer's state (fc"));
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, MemoryCheckOnRanks,
                         ::testing::Combine(::testing::Values(Ownership::slices, Ownership::everything),
                                            ::testing::Values(Size::several_blocks, Size::one_block)));

}  // namespace
}  // namespace lockstep::train
