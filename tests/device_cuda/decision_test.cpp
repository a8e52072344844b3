#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "device_cuda/standin_device.h"

namespace lockstep::testing {
namespace {

using namespace device;

/// What a rank's device may find, in memory of a stand-in's.
struct Evidence {
  std::vector<Totals> totals{{.loss = 1, .correct = 2, .samples = 3},
                             {.loss = 4, .correct = 5, .samples = 6}};
  std::vector<std::uint32_t> not_finite = std::vector<std::uint32_t>(300);  // more than a block has threads
  std::vector<std::uint64_t> recorded{1, 2, 3}, copy{10, 20, 30, ~std::uint64_t{0}};
  std::vector<std::uint64_t> state1 = std::vector<std::uint64_t>(300, 7), state1_now = state1;
  std::vector<std::uint64_t> state2 = std::vector<std::uint64_t>(300, 8), state2_now = state2;
};

class Decision : public ::testing::Test {
 protected:
  StepFindings find(const Evidence& evidence) {
    const auto totals = device_.upload(evidence.totals);
    const auto not_finite = device_.upload(evidence.not_finite);
    const auto recorded = device_.upload(evidence.recorded), copy = device_.upload(evidence.copy);
    const auto state1 = device_.upload(evidence.state1), state1_now = device_.upload(evidence.state1_now);
    const auto state2 = device_.upload(evidence.state2), state2_now = device_.upload(evidence.state2_now);
    const auto findings = device_->make_array<StepFindings>(1);
    device_->find(device_.stream(),
                  {.totals = totals.span(),
                   .not_finite = not_finite.span(),
                   .recorded = recorded.span(),
                   .copy = copy.span(),
                   .state_recorded = {state1.span(), state2.span()},
                   .state_now = {state1_now.span(), state2_now.span()}},
                  findings.span());
    return device_.download(findings).front();
  }

  /// Whether the update takes place.
  bool decide(const std::vector<StepFindings>& of_ranks, WeightsOwner owner) {
    const auto findings = device_.upload(of_ranks);
    device_->decide(device_.stream(), findings.span(), owner, halted_.span(), arguments_.span());
    const std::uint32_t skip = device_.download(arguments_).front().skip;
    EXPECT_EQ(device_.download(halted_).front(), skip);
    return skip == 0;
  }
  void go_on() { device_.store(halted_, std::vector<std::uint32_t>{0}); }

  const StandinDevice device_;
  DeviceArray<std::uint32_t> halted_ = device_.upload(std::vector<std::uint32_t>{0});
  DeviceArray<UpdateArguments> arguments_ = device_.upload(std::vector<UpdateArguments>(1));
};

TEST_F(Decision, findings_are_sums_of_hashes_that_wrap_around) {
  const StepFindings found = find({});
  EXPECT_EQ(found.recorded, 6U);
  EXPECT_EQ(found.copy, 59U);
  EXPECT_EQ(found.spoilt, 0U);
}

TEST_F(Decision, findings_take_in_the_longest_list) {
  for (const auto list : {&Evidence::recorded, &Evidence::copy}) {
    Evidence evidence;
    evidence.not_finite.clear();
    for (auto* hashes : {&evidence.state1, &evidence.state1_now, &evidence.state2, &evidence.state2_now})
      hashes->clear();
    evidence.recorded = evidence.copy = {1};
    (evidence.*list).assign(700, 3);
    const StepFindings found = find(evidence);
    EXPECT_EQ(found.recorded, list == &Evidence::recorded ? 2100U : 1U);
    EXPECT_EQ(found.copy, list == &Evidence::copy ? 2100U : 1U);
  }
}

TEST_F(Decision, findings_name_each_thing_that_is_wrong) {
  for (const double bad : {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()})
    for (const std::size_t shard : {0, 1}) {
      Evidence evidence;
      evidence.totals[shard].loss = bad;
      EXPECT_NE(find(evidence).spoilt, 0U) << bad;
    }
  for (const std::size_t block : {0, 255, 299}) {
    Evidence flag, first, second;
    flag.not_finite[block] = 1;
    first.state1_now[block] ^= 1;
    second.state2_now[block] ^= std::uint64_t{1} << 63U;
    for (const Evidence& evidence : {flag, first, second}) EXPECT_NE(find(evidence).spoilt, 0U) << block;
  }
}

TEST_F(Decision, findings_may_be_of_next_to_nothing) {
  Evidence evidence;
  evidence.not_finite.clear();
  for (auto* hashes : {&evidence.recorded, &evidence.copy, &evidence.state1, &evidence.state1_now,
                       &evidence.state2, &evidence.state2_now})
    hashes->clear();
  const StepFindings found = find(evidence);
  EXPECT_EQ(found.recorded | found.copy | found.spoilt, 0U);
}

TEST_F(Decision, each_rank_that_owns_a_slice_must_have_all_parts) {
  EXPECT_TRUE(decide({{.recorded = 1, .copy = 6}, {.recorded = 2, .copy = 6}, {.recorded = 3, .copy = 6}},
                     WeightsOwner::rank_of_slice));
  EXPECT_FALSE(decide({{.recorded = 1, .copy = 6}, {.recorded = 2, .copy = 7}, {.recorded = 3, .copy = 6}},
                      WeightsOwner::rank_of_slice));
}

TEST_F(Decision, each_rank_that_owns_everything_must_have_its_own) {
  EXPECT_TRUE(decide({{.recorded = 5, .copy = 5}, {.recorded = 5, .copy = 5}}, WeightsOwner::each_rank));
  EXPECT_FALSE(decide({{.recorded = 5, .copy = 5}, {.recorded = 5, .copy = 4}}, WeightsOwner::each_rank));
}

TEST_F(Decision, what_is_halted_remains_so) {
  const std::vector<StepFindings> good{{.recorded = 1, .copy = 1}};
  EXPECT_TRUE(decide(good, WeightsOwner::rank_of_slice));
  EXPECT_FALSE(decide({{.recorded = 1, .copy = 1, .spoilt = 3}}, WeightsOwner::rank_of_slice));
  EXPECT_FALSE(decide(good, WeightsOwner::rank_of_slice));
  go_on();
  EXPECT_TRUE(decide(good, WeightsOwner::rank_of_slice));
}

}  // namespace
}  // namespace lockstep::testing
