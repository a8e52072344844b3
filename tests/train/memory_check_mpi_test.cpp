#include "train/memory_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <tuple>

#include "base/aligned_buffer.h"
#include "comm/collective.h"
#include "train/status.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;

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
    check_.emplace(
        parameters_, ownership, owned_,
        std::vector<optim::Optimizer::State>{{"moment1", states_[0].span()}, {"moment2", states_[1].span()}},
        workers_);
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
    if (world_.size() > 1) {
      EXPECT_THAT(text, HasSubstr("rank " + std::to_string(rank) + " on "));
    }
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

INSTANTIATE_TEST_SUITE_P(Kinds, MemoryCheckOnRanks,
                         ::testing::Combine(::testing::Values(Ownership::slices, Ownership::everything),
                                            ::testing::Values(Size::several_blocks, Size::one_block)));

}  // namespace
}  // namespace lockstep::train
