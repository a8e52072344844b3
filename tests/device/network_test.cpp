#include <gtest/gtest.h>

#include "device/backend.h"
#include "device/chains.h"
#include "device/network_builder.h"
#include "device/network_checks.h"

namespace lockstep::testing {
namespace {

using namespace device;

class NetworkTest : public ::testing::TestWithParam<NamedNetwork> {
 protected:
  const std::unique_ptr<Backend> backend = make_cpu_backend();
};

TEST_P(NetworkTest, agrees_with_the_reference) {
  agrees_with_the_reference(*backend, GetParam().network);
}

TEST_P(NetworkTest, writes_zeros_between_the_parameters) {
  writes_zeros_between_the_parameters(*backend, GetParam().network);
}

TEST_P(NetworkTest, evaluates_without_dropout) {
  evaluates_without_dropout(*backend, GetParam().network);
}

TEST_P(NetworkTest, a_used_runner_gives_the_bits_of_a_fresh_one) {
  a_used_runner_gives_the_bits_of_a_fresh_one(*backend, GetParam().network);
}

TEST_P(NetworkTest, the_gradient_is_the_slope_of_the_loss) {
  the_gradient_is_the_slope_of_the_loss(*backend, GetParam().network);
}

INSTANTIATE_TEST_SUITE_P(Chains, NetworkTest, ::testing::ValuesIn(chains()),
                         [](const auto& chain) { return chain.param.name; });

TEST(Network, without_parameters_has_a_zero_gradient) {
  const Network network = NetworkBuilder({2, 4, 4}).relu().max_pool(2).flatten().build();
  const auto plan = make_cpu_backend()->plan(network, 2, Mode::training);
  plan->load_weights({});
  const Shard shard(network, 2, 1);
  EXPECT_EQ(plan->make_runner()->train(shard.input(), {}).samples, 2);
}

TEST(Network, says_how_it_runs) {
  const Network network = chains()[1].network;
  const auto plan = make_cpu_backend()->plan(network, 16, Mode::training);
  const auto names = plan->implementations();
  EXPECT_EQ(names[1], "fused");
  EXPECT_EQ(names[4], "fused");
  EXPECT_EQ(names[8], "fused");
  for (const auto& name : names) EXPECT_FALSE(name.empty());
  EXPECT_GT(plan->runner_bytes(), 16 * 24 * 12 * 12 * 4);
  const auto evaluation = make_cpu_backend()->plan(network, 16, Mode::evaluation);
  EXPECT_LT(evaluation->runner_bytes(), plan->runner_bytes());
}

TEST(Network, reads_large_dense_weights_from_the_slab) {
  const Network network = NetworkBuilder({768}).dense(512).relu().dense(10).build();
  const auto plan = make_cpu_backend()->plan(network, 16, Mode::training);
  EXPECT_LE(plan->shared_bytes(), 512 * 64 * 4);  // at most the small layer's, padded
}

}  // namespace
}  // namespace lockstep::testing
