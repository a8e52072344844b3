#include "device/accelerated_backend.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "device/chains.h"
#include "device/network_builder.h"
#include "device/numbers.h"
#include "device_cuda/standin_device.h"

namespace lockstep::testing {
namespace {

using namespace device;

constexpr std::size_t count = 3000;  // two blocks of updates and a part of one

class AcceleratedBackendTest : public ::testing::Test {
 protected:
  const StandinDevice device_;
  AcceleratedBackend backend_{*device_};
  const std::unique_ptr<Backend> cpu_ = make_cpu_backend();
};

TEST_F(AcceleratedBackendTest, updates_by_sgd_with_the_bits_of_the_cpu) {
  for (const SgdArguments& arguments :
       {SgdArguments{.learning_rate = 0.1F}, SgdArguments{.learning_rate = 0.1F, .weight_decay = 0.01F},
        SgdArguments{.learning_rate = 0.1F, .momentum = 0.9F},
        SgdArguments{.learning_rate = 0.1F, .momentum = 0.9F, .weight_decay = 0.01F, .nesterov = true}}) {
    const auto gradient = random_floats(count, 2);
    std::vector<float> w = random_floats(count, 1), expected_w = w;
    std::vector<float> v(arguments.momentum != 0 ? count : 0, 0.5F), expected_v = v;
    for (int step = 0; step < 3; ++step) {
      EXPECT_TRUE(cpu_->sgd_update(arguments, expected_w, gradient, expected_v));
      EXPECT_TRUE(backend_.sgd_update(arguments, w, gradient, v));
      ASSERT_EQ(bits(w), bits(expected_w));
      ASSERT_EQ(bits(v), bits(expected_v));
    }
  }
}

TEST_F(AcceleratedBackendTest, updates_by_adamw_with_the_bits_of_the_cpu) {
  const AdamWArguments arguments{.learning_rate = 0.01F,
                                 .beta1 = 0.9F,
                                 .beta2 = 0.999F,
                                 .epsilon = 1e-8F,
                                 .weight_decay = 0.1F,
                                 .correction1 = 10,
                                 .correction2 = 1000};
  const auto gradient = random_floats(count, 2);
  std::vector<float> w = random_floats(count, 1), expected_w = w;
  std::vector<float> m(count, 0.0F), expected_m = m, v = m, expected_v = m;
  for (int step = 0; step < 3; ++step) {
    EXPECT_TRUE(cpu_->adamw_update(arguments, expected_w, gradient, expected_m, expected_v));
    EXPECT_TRUE(backend_.adamw_update(arguments, w, gradient, m, v));
    ASSERT_EQ(bits(w), bits(expected_w));
    ASSERT_EQ(bits(m), bits(expected_m));
    ASSERT_EQ(bits(v), bits(expected_v));
  }
}

TEST_F(AcceleratedBackendTest, notices_a_number_that_is_not_finite_wherever_it_is) {
  for (const std::size_t place : {std::size_t{0}, std::size_t{1023}, std::size_t{1024}, count - 1}) {
    std::vector<float> w(count, 1.0F);
    std::vector<float> gradient(count, 0.5F);
    gradient[place] = std::numeric_limits<float>::infinity();
    EXPECT_FALSE(backend_.sgd_update({.learning_rate = 0.1F}, w, gradient, {})) << place;
  }
}

TEST_F(AcceleratedBackendTest, trains_a_network_without_parameters) {
  const Network network = NetworkBuilder({2, 4, 4}).relu().max_pool(2).flatten().build();
  const auto plan = backend_.plan(network, 2, Mode::training);
  plan->load_weights({});
  const Shard shard(network, 2, 1);
  EXPECT_EQ(plan->make_runner()->train(shard.input(), {}).samples, 2);
}

TEST_F(AcceleratedBackendTest, plans_as_it_is_told) {
  const Network network = NetworkBuilder({2, 9, 9}).conv(3, 3).flatten().dense(4).build();
  const std::string choices = device_->plan(network, 4, Mode::training, "")->choices();
  AcceleratedBackend told(*device_, {{{Mode::training, 4}, choices}, {{Mode::training, 5}, "nonsense"}});
  EXPECT_NO_THROW(static_cast<void>(told.plan(network, 4, Mode::training)));
  EXPECT_NO_THROW(static_cast<void>(told.plan(network, 6, Mode::training)));
  EXPECT_THROW(static_cast<void>(told.plan(network, 5, Mode::training)), Error);
  EXPECT_EQ(told.describe(), device_->describe());
}

TEST_F(AcceleratedBackendTest, sees_the_weights_that_were_loaded_last) {
  const Network network = NetworkBuilder({6}).dense(3).build();
  const auto plan = backend_.plan(network, 2, Mode::evaluation);
  const auto runner = plan->make_runner();
  const Shard shard(network, 2, 1);
  auto weights = weights_of(network);
  plan->load_weights(weights);
  const double before = runner->evaluate(shard.input()).loss;
  EXPECT_EQ(runner->evaluate(shard.input()).loss, before);
  for (float& weight : weights) weight *= 2;
  plan->load_weights(weights);
  EXPECT_NE(runner->evaluate(shard.input()).loss, before);
}

/// Whatever fails, one message comes of it, and nothing is left on the device.
TEST(AcceleratedBackendFailure, gives_everything_back) {
  if (!standin::is_linked()) GTEST_SKIP() << "not run: needs the stand-in for a GPU";
  const Network network = NetworkBuilder({2, 9, 9}).conv(3, 3).relu().flatten().dense(4).build();
  const auto work = [&](const std::string& settings) {
    const StandinDevice device(settings);
    AcceleratedBackend backend(*device);
    const auto plan = backend.plan(network, 4, Mode::training);
    auto weights = weights_of(network);
    plan->load_weights(weights);
    const auto runner = plan->make_runner();
    const Shard shard(network, 4, 1);
    std::vector<float> gradient(weights.size());
    runner->train(shard.input(), gradient);
    backend.sgd_update({.learning_rate = 0.1F}, weights, gradient, {});
  };
  work("");
  const auto counts = standin::call_counts();
  EXPECT_TRUE(standin::live_handles().empty());
  for (const char* const name :
       {"cudaMalloc", "cudaHostAlloc", "cudaMemcpyAsync", "cudaMemsetAsync", "cudaSetDevice",
        "cudaStreamCreateWithFlags", "cudaStreamSynchronize", "kernel_launch", "operation"})
    for (std::int64_t number = 1; number <= counts.at(name); ++number) {
      SCOPED_TRACE(std::string(name) + ":" + std::to_string(number));
      bool failed = false;
      try {
        work("fail=" + std::string(name) + ":" + std::to_string(number));
      } catch (const Error&) {
        failed = true;
      }
      // These two are also called where things end, which is too late to matter.
      const std::string_view call = name;
      EXPECT_TRUE(failed || call == "cudaStreamSynchronize" || call == "cudaSetDevice");
      EXPECT_TRUE(standin::live_handles().empty());
    }
}

}  // namespace
}  // namespace lockstep::testing
