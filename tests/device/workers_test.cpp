#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "device/backend.h"
#include "device/block_harness.h"
#include "device/network_builder.h"

namespace lockstep::testing {
namespace {

using namespace device;

constexpr std::int64_t samples = 4;
constexpr int shards = 6;

/// What one shard gave, compared byte by byte.
struct Outcome {
  Totals totals;
  std::vector<float> gradient;
};

Network network_under_test() {
  return NetworkBuilder({1, 14, 14})
      .conv(24, 5)
      .relu()
      .max_pool(2)
      .conv(17, 3)
      .relu()
      .flatten()
      .dropout(0.5)
      .dense(40)
      .relu()
      .dense(10)
      .build();
}

/// Runs every shard, shards going round `workers` threads as they come free.
std::vector<Outcome> run(Plan& plan, const Network& network, int workers) {
  std::vector<Outcome> outcomes(shards);
  std::atomic<int> next = 0;
  const auto work = [&] {
    prepare_cpu_thread();
    const auto runner = plan.make_runner();
    for (int shard = next++; shard < shards; shard = next++) {
      const auto images = random_floats(static_cast<std::size_t>(samples * network.input.count()),
                                        static_cast<std::uint32_t>(shard) + 1);
      const std::vector<std::int32_t> labels = {shard % 10, 3, 9, (shard + 4) % 10};
      const std::vector<std::int64_t> rows = {shard, shard + 100, shard + 200, shard + 300};
      Outcome& outcome = outcomes[static_cast<std::size_t>(shard)];
      outcome.gradient.resize(static_cast<std::size_t>(network.parameters.slab_size()));
      outcome.totals = runner->train({images.data(), labels.data(), rows.data(), 1}, outcome.gradient);
    }
  };
  std::vector<std::jthread> threads;
  for (int worker = 0; worker < workers; ++worker) threads.emplace_back(work);
  threads.clear();
  return outcomes;
}

/// By own kernels, and by oneDNN.
class WorkersTest : public ::testing::TestWithParam<ConvolutionMethod> {
 protected:
  const std::unique_ptr<Backend> backend_ = make_cpu_backend({.convolutions = GetParam()});
};
INSTANTIATE_TEST_SUITE_P(Ways, WorkersTest,
                         ::testing::Values(ConvolutionMethod::automatic, ConvolutionMethod::onednn));

TEST_P(WorkersTest, their_number_never_changes_a_bit) {
  const Network network = network_under_test();
  const auto plan = backend_->plan(network, samples, Mode::training);
  auto slab = random_floats(static_cast<std::size_t>(network.parameters.slab_size()), 3);
  for (float& value : slab) value *= 0.2F;
  plan->load_weights(slab);
  const auto expected = run(*plan, network, 1);
  EXPECT_NE(expected[0].gradient, expected[1].gradient);
  for (int repetition = 0; repetition < 100; ++repetition) {
    const auto actual = run(*plan, network, 2);
    for (std::size_t shard = 0; shard < shards; ++shard) {
      ASSERT_EQ(std::memcmp(&actual[shard].totals.loss, &expected[shard].totals.loss, sizeof(double)), 0);
      ASSERT_EQ(actual[shard].totals.correct, expected[shard].totals.correct);
      ASSERT_EQ(std::memcmp(actual[shard].gradient.data(), expected[shard].gradient.data(),
                            expected[shard].gradient.size() * sizeof(float)),
                0)
          << "shard " << shard << ", repetition " << repetition;
    }
  }
}

TEST_P(WorkersTest, see_new_weights_after_they_are_loaded) {
  const Network network = network_under_test();
  const auto plan = backend_->plan(network, samples, Mode::training);
  const auto fresh = backend_->plan(network, samples, Mode::training);
  auto first = random_floats(static_cast<std::size_t>(network.parameters.slab_size()), 3);
  const auto second = random_floats(first.size(), 4);
  plan->load_weights(first);
  const auto before = run(*plan, network, 1);
  plan->load_weights(second);
  fresh->load_weights(second);
  const auto after = run(*plan, network, 1);
  EXPECT_EQ(after[0].gradient, run(*fresh, network, 1)[0].gradient);
  EXPECT_NE(after[0].gradient, before[0].gradient);
}

}  // namespace
}  // namespace lockstep::testing
