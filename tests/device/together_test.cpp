// Groups of shards: stages with large weights see all of a group at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>

#include "device/backend.h"
#include "device/chains.h"
#include "device/cpu/block.h"
#include "device/cpu/fused/choice.h"
#include "device/network_builder.h"

namespace lockstep::testing {
namespace {

using namespace device;

constexpr std::int64_t samples = 16;  // four shards of so many share a pass over the weights
constexpr auto most = static_cast<std::size_t>(cpu::most_runs);

/// Large weights below and above small ones, packed and too large for that, with state of its own in each
/// shard in between.
std::vector<NamedNetwork> large_networks() {
  return {{"packed", NetworkBuilder({784}).dense(1400).relu().dense(800).relu().dense(10).build()},
          {"not_packed", NetworkBuilder({1000}).dense(5000, false).relu().dense(10).build()},
          {"between_others", NetworkBuilder({1, 28, 28})
                                 .conv(8, 5)
                                 .relu()
                                 .max_pool(2)
                                 .flatten()
                                 .dropout(0.5)
                                 .dense(1000)
                                 .activation(ActivationOp::Kind::tanh)
                                 .dropout(0.2)
                                 .dense(10)
                                 .build()}};
}

/// What a shard gives.
struct Outcome {
  Totals totals;
  std::vector<float> gradient, kept;
};

bool same_bits(const std::vector<float>& left, const std::vector<float>& right) {
  return std::ranges::equal(left, right, {}, std::bit_cast<std::uint32_t, float>,
                            std::bit_cast<std::uint32_t, float>);
}

class TogetherTest : public ::testing::TestWithParam<NamedNetwork> {
 protected:
  TogetherTest() {
    plan_->load_weights(weights_);
    for (std::uint32_t seed = 0; seed < most; ++seed) shards_.emplace_back(network_, samples, seed + 1);
  }

  /// Some of the shards. `keeps`: joint gradients are left for later.
  std::vector<Outcome> outcomes_of(std::size_t first, std::size_t count, bool keeps,
                                   const std::function<void(std::span<ShardJob>)>& train) {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    std::vector<Outcome> outcomes(count);
    std::vector<ShardJob> jobs(count);
    for (std::size_t i = 0; i < count; ++i) {
      // A joint gradient is not written then.
      outcomes[i].gradient.assign(weights_.size(), keeps ? 0 : nan);
      jobs[i] = {.input = shards_[first + i].input(), .gradient = outcomes[i].gradient, .totals = {}};
      if (!keeps) continue;
      outcomes[i].kept.resize(static_cast<std::size_t>(joint_->kept_floats(samples)));
      jobs[i].input.kept = outcomes[i].kept.data();
    }
    train(jobs);
    for (std::size_t i = 0; i < count; ++i) outcomes[i].totals = jobs[i].totals;
    return outcomes;
  }

  /// By two workers, each of which does parts of every shard, the last shard first.
  static void train_group(GroupRunner& runner, int first, std::span<ShardJob> jobs) {
    for (std::size_t i = jobs.size(); i-- > 0;)
      runner.forward(first + static_cast<int>(i), static_cast<int>(i) % 2, jobs[i].input);
    runner.turn(first, static_cast<int>(jobs.size()) % 2, jobs);
    for (std::size_t i = jobs.size(); i-- > 0;)
      runner.backward(first + static_cast<int>(i), static_cast<int>(i + 1) % 2, jobs[i]);
  }

  const Network& network_ = GetParam().network;
  const std::unique_ptr<Backend> backend_ = make_cpu_backend();
  const std::unique_ptr<JointGradients> joint_ = backend_->joint_gradients(network_);
  const std::unique_ptr<Plan> plan_ = backend_->plan(network_, samples, Mode::training);
  std::vector<float> weights_ = weights_of(network_);
  std::vector<Shard> shards_;
};
INSTANTIATE_TEST_SUITE_P(Networks, TogetherTest, ::testing::ValuesIn(large_networks()),
                         [](const auto& info) { return info.param.name; });

TEST_P(TogetherTest, gives_the_bits_of_single_shards) {
  if (!cpu::fused::processor_suits())
    GTEST_SKIP() << "not run: there are no own kernels without fused multiply-adds";
  ASSERT_EQ(plan_->most_together(), cpu::most_runs);
  const auto single = plan_->make_runner();
  const auto groups = plan_->make_group_runner(2 * cpu::most_runs, 2);
  for (const bool keeps : {false, true}) {
    std::vector<Outcome> expected;
    for (std::size_t shard = 0; shard < most; ++shard)
      expected.push_back(std::move(outcomes_of(shard, 1, keeps, [&](std::span<ShardJob> jobs) {
                                     jobs[0].totals = single->train(jobs[0].input, jobs[0].gradient);
                                   }).front()));
    ASSERT_FALSE(same_bits(expected[0].gradient, expected[1].gradient));
    for (const std::size_t count : {std::size_t{1}, std::size_t{2}, std::size_t{3}, most})
      for (std::size_t first = 0; first + count <= most; first += count) {
        const std::vector<Outcome> outcomes = outcomes_of(first, count, keeps, [&](std::span<ShardJob> jobs) {
          train_group(*groups, first % 2 == 0 ? 0 : cpu::most_runs, jobs);
        });
        for (std::size_t i = 0; i < count; ++i) {
          const Outcome& alone = expected[first + i];
          EXPECT_EQ(outcomes[i].totals.loss, alone.totals.loss) << count << " from " << first;
          EXPECT_EQ(outcomes[i].totals.correct, alone.totals.correct);
          EXPECT_EQ(outcomes[i].totals.samples, samples);
          EXPECT_TRUE(same_bits(outcomes[i].gradient, alone.gradient)) << count << " from " << first;
          EXPECT_TRUE(same_bits(outcomes[i].kept, alone.kept)) << count << " from " << first;
        }
      }
  }
}

/// Nothing that a shard left for its way back may lie where others work.
TEST_P(TogetherTest, keeps_groups_in_flight_apart) {
  if (!cpu::fused::processor_suits())
    GTEST_SKIP() << "not run: there are no own kernels without fused multiply-adds";
  const auto single = plan_->make_runner();
  const auto groups = plan_->make_group_runner(4, 2);
  const auto expected = outcomes_of(0, most, false, [&](std::span<ShardJob> jobs) {
    for (ShardJob& job : jobs) job.totals = single->train(job.input, job.gradient);
  });
  const auto outcomes = outcomes_of(0, most, false, [&](std::span<ShardJob> jobs) {
    for (const int place : {0, 2, 1, 3})
      groups->forward(place, place / 2, jobs[static_cast<std::size_t>(place)].input);
    groups->turn(0, 1, jobs.first(2));
    groups->turn(2, 0, jobs.last(2));
    for (const int place : {3, 0, 2, 1})
      groups->backward(place, place % 2, jobs[static_cast<std::size_t>(place)]);
  });
  for (std::size_t i = 0; i < most; ++i) {
    EXPECT_EQ(outcomes[i].totals.loss, expected[i].totals.loss);
    EXPECT_TRUE(same_bits(outcomes[i].gradient, expected[i].gradient)) << i;
  }
}

TEST_P(TogetherTest, counts_the_time_of_all_where_the_first_says) {
  std::vector<float> gradients(most * weights_.size());
  PassTimes times;
  times.nodes.resize(network_.nodes.size());
  std::vector<ShardJob> jobs(most);
  for (std::size_t i = 0; i < most; ++i)
    jobs[i] = {.input = shards_[i].input(),
               .gradient = std::span(gradients).subspan(i * weights_.size(), weights_.size()),
               .totals = {}};
  jobs.front().input.times = &times;
  const auto groups = plan_->make_group_runner(cpu::most_runs, 2);
  train_group(*groups, 0, jobs);
  EXPECT_GT(times.loss.count(), 0);
  EXPECT_GT(times.nodes.back().forward.count(), 0);
  EXPECT_GT(times.nodes.back().backward.count(), 0);
}

TEST(Together, needs_scratch_memory_for_each_worker) {
  const Network network =
      NetworkBuilder({16, 16, 16}).conv(16, 5).relu().max_pool(2).flatten().dense(10).build();
  const auto plan = make_cpu_backend()->plan(network, 16, Mode::training);
  EXPECT_EQ(plan->group_runner_bytes(1, 1), plan->runner_bytes());
  EXPECT_GT(plan->group_runner_bytes(2, 1), plan->runner_bytes());
  EXPECT_LT(plan->group_runner_bytes(2, 1), plan->group_runner_bytes(2, 2));
  EXPECT_EQ(plan->group_runner_bytes(2, 2), 2 * plan->runner_bytes());
}

TEST(Together, gains_something_only_where_large_weights_are_much_of_the_network) {
  if (!cpu::fused::processor_suits())
    GTEST_SKIP() << "not run: there are no own kernels without fused multiply-adds";
  const auto together = [](const NetworkBuilder& builder, Mode mode = Mode::training,
                           ConvolutionMethod method = ConvolutionMethod::automatic) {
    const Network network = NetworkBuilder(builder).build();
    return make_cpu_backend({.convolutions = method})->plan(network, 16, mode)->most_together();
  };
  const NetworkBuilder large = NetworkBuilder({784}).dense(2048).relu().dense(10);
  EXPECT_EQ(together(large), cpu::most_runs);
  const NetworkBuilder behind_others = NetworkBuilder({1, 28, 28}).conv(24, 5).relu().max_pool(2).flatten();
  EXPECT_EQ(together(NetworkBuilder(behind_others).dense(128).relu().dense(10)), cpu::most_runs);
  EXPECT_EQ(together(NetworkBuilder(behind_others).dense(64).relu().dense(10)), 1) << "small weights";
  EXPECT_EQ(together(NetworkBuilder({784}).dense(512).relu().dense(10)), 1)
      << "a shard has nothing else to do";
  EXPECT_EQ(together(large, Mode::evaluation), 1);
  EXPECT_EQ(together(large, Mode::training, ConvolutionMethod::onednn), 1);
  const auto with_samples = [&](std::int64_t count) {
    const Network network = NetworkBuilder(large).build();
    return make_cpu_backend()->plan(network, count, Mode::training)->most_together();
  };
  EXPECT_EQ(with_samples(1), cpu::most_runs);
  EXPECT_EQ(with_samples(21), 2) << "three would do, but groups are subtrees";
  EXPECT_EQ(with_samples(32), 2);
  EXPECT_EQ(with_samples(33), 1) << "a pass over the weights serves 64 samples";
  const NetworkBuilder images = NetworkBuilder({3, 64, 64}).conv(64, 3).relu().conv(64, 3).relu().max_pool(4);
  EXPECT_EQ(together(NetworkBuilder(images).flatten().dense(40)), 1) << "little beside the activations";
}

}  // namespace
}  // namespace lockstep::testing
