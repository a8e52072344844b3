#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "device/accelerated_backend.h"
#include "device/chains.h"
#include "device/network_builder.h"
#include "device/network_checks.h"
#include "device_cuda/device_training.h"
#include "device_cuda/standin_device.h"

namespace lockstep::testing {
namespace {

using namespace device;

/// What holds of the CPU's networks holds of the accelerator's.
class CudaNetworkTest : public ::testing::TestWithParam<NamedNetwork> {
 protected:
  const StandinDevice device_;
  AcceleratedBackend backend_{*device_};
};

TEST_P(CudaNetworkTest, agrees_with_the_reference) {
  agrees_with_the_reference(backend_, GetParam().network);
}

TEST_P(CudaNetworkTest, writes_zeros_between_the_parameters) {
  writes_zeros_between_the_parameters(backend_, GetParam().network);
}

TEST_P(CudaNetworkTest, evaluates_without_dropout) {
  evaluates_without_dropout(backend_, GetParam().network);
}

TEST_P(CudaNetworkTest, a_used_runner_gives_the_bits_of_a_fresh_one) {
  a_used_runner_gives_the_bits_of_a_fresh_one(backend_, GetParam().network);
}

TEST_P(CudaNetworkTest, the_gradient_is_the_slope_of_the_loss) {
  the_gradient_is_the_slope_of_the_loss(backend_, GetParam().network);
}

INSTANTIATE_TEST_SUITE_P(Chains, CudaNetworkTest, ::testing::ValuesIn(chains()),
                         [](const auto& chain) { return chain.param.name; });

TEST(CudaNetwork, shows_a_nan_in_the_loss_wherever_it_stands) {
  const StandinDevice device;
  AcceleratedBackend backend(*device);
  const Network network =
      NetworkBuilder({1, 4, 4}).relu().max_pool(2).activation(ActivationOp::Kind::tanh).flatten().build();
  const auto plan = backend.plan(network, 1, Mode::evaluation);
  plan->load_weights({});
  const auto runner = plan->make_runner();
  for (std::size_t place = 0; place < 16; ++place) {
    Shard shard(network, 1, 5);
    EXPECT_TRUE(std::isfinite(runner->evaluate(shard.input()).loss));
    shard.images[place] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(runner->evaluate(shard.input()).loss)) << place;
  }
}

/// Its tensors in the order in which a backward pass finishes them, as networks of experiments have them.
Network from_the_last(Network network) {
  const Parameters forward = std::exchange(network.parameters, {});
  const auto move = [&](int& index) {
    if (index >= 0) index = network.parameters.declare(forward[index].name, forward[index].shape);
  };
  for (auto node = network.nodes.rbegin(); node != network.nodes.rend(); ++node) {
    if (auto* const dense = std::get_if<DenseOp>(&node->op)) {
      move(dense->weight);
      move(dense->bias);
    } else if (auto* const convolution = std::get_if<Conv2dOp>(&node->op)) {
      move(convolution->weight);
      move(convolution->bias);
    }
  }
  return network;
}

/// What another stream takes of a gradient when it is said to be finished is what the whole pass leaves,
/// however late each stream does its work.
TEST(CudaNetwork, finishes_gradients_from_the_last_layer_to_the_first) {
  const Network network = from_the_last(
      NetworkBuilder({1, 12, 12}).conv(6, 3).relu().max_pool(2).flatten().dense(33).relu().dense(4).build());
  for (int seed = 0; seed < 10; ++seed) {
    const StandinDevice device(fmt::format("seed={}", seed));
    DeviceTraining training(device, network, 5);
    const TrainedShard whole = training.train();
    const auto other = device->make_stream();
    const auto taken = device->make_array<float>(network.parameters.slab_size());
    std::vector<std::int64_t> ends;
    training.queue_halves(device.stream(), [&](std::int64_t end) {
      const std::int64_t begin = ends.empty() ? 0 : ends.back();
      other->wait_for(device.stream());
      device::copy<float>(*other, taken.span().subspan(begin, end - begin),
                          training.gradient().subspan(begin, end - begin));
      ends.push_back(end);
    });
    other->synchronize();
    EXPECT_EQ(bits(device.download(taken)), whole.gradient) << "seed " << seed;
    std::vector<std::int64_t> different = ends;
    different.erase(std::unique(different.begin(), different.end()), different.end());
    EXPECT_EQ(different, (std::vector{network.parameters[2].offset, network.parameters[4].offset,
                                      network.parameters.slab_size()}))
        << "the last layer, the one before, and the first";
  }
}

/// Both published experiments' networks, at their size.
std::vector<NamedNetwork> published() {
  return {{"mnist_softmax", NetworkBuilder({1, 28, 28}).flatten().dense(10).build()},
          {"mnist_cnn", NetworkBuilder({1, 28, 28})
                            .conv(24, 5)
                            .relu()
                            .max_pool(2)
                            .conv(48, 5)
                            .relu()
                            .max_pool(2)
                            .flatten()
                            .dense(512)
                            .relu()
                            .dropout(0.5)
                            .dense(10)
                            .build()}};
}

class CudaPublishedTest : public CudaNetworkTest {};

TEST_P(CudaPublishedTest, agrees_with_the_cpu) {
  const Network& network = GetParam().network;
  const auto cpu = make_cpu_backend();
  const auto slab = weights_of(network);
  for (const std::int64_t samples : {1, 16}) {
    const Shard shard(network, samples, 5);
    std::vector<std::vector<float>> gradients;
    std::vector<Totals> totals;
    for (Backend* const backend : {static_cast<Backend*>(cpu.get()), static_cast<Backend*>(&backend_)}) {
      const auto plan = backend->plan(network, samples, Mode::training);
      plan->load_weights(slab);
      auto& gradient = gradients.emplace_back(slab.size());
      totals.push_back(plan->make_runner()->train(shard.input(), gradient));
    }
    EXPECT_NEAR(totals[1].loss, totals[0].loss, 1e-5 * totals[0].loss);
    EXPECT_EQ(totals[1].correct, totals[0].correct);
    // The same sums in another order, four layers deep.
    const float greatest = std::ranges::max(gradients[0], {}, [](float value) { return std::abs(value); });
    for (std::size_t i = 0; i < slab.size(); ++i)
      ASSERT_NEAR(gradients[1][i], gradients[0][i], 1e-5 * std::abs(greatest)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, CudaPublishedTest, ::testing::ValuesIn(published()),
                         [](const auto& chain) { return chain.param.name; });

}  // namespace
}  // namespace lockstep::testing
