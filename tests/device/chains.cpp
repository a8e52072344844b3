#include "device/chains.h"

#include <cmath>

#include "device/network_builder.h"
#include "device/numbers.h"

namespace lockstep::testing {

using namespace device;
using Kind = ActivationOp::Kind;
using Pool = Pool2dOp::Kind;

Shard::Shard(const Network& network, std::int64_t samples, std::uint32_t seed)
    : images(random_floats(static_cast<std::size_t>(samples * network.input.count()), seed)) {
  for (std::int64_t n = 0; n < samples; ++n) {
    labels.push_back(static_cast<std::int32_t>((n * 7 + seed) % network.classes));
    rows.push_back(n * 1000 + seed);
  }
}
/// Weights of a size that keeps activations near one through any number of layers.
std::vector<float> weights_of(const Network& network) {
  std::vector<float> slab(static_cast<std::size_t>(network.parameters.slab_size()));
  for (const Parameter& parameter : network.parameters.all()) {
    const auto values = random_floats(static_cast<std::size_t>(parameter.count),
                                      static_cast<std::uint32_t>(parameter.offset));
    const auto fan_in = static_cast<float>(parameter.count) / static_cast<float>(parameter.shape[0]);
    const float scale = 1.7F / std::sqrt(fan_in);
    for (std::size_t i = 0; i < values.size(); ++i)
      slab[static_cast<std::size_t>(parameter.offset) + i] = scale * values[i];
  }
  return slab;
}

std::vector<NamedNetwork> chains() {
  const auto from = [](Shape input) { return NetworkBuilder(std::move(input)); };
  return {
      {"softmax", from({1, 9, 7}).flatten().dense(10).build()},
      {"cnn", from({1, 16, 16})
                  .conv(24, 5)
                  .relu()
                  .max_pool(2)
                  .conv(17, 3)
                  .relu()
                  .max_pool(2)
                  .flatten()
                  .dense(31)
                  .relu()
                  .dense(10)
                  .build()},
      {"padded", from({3, 11, 9})
                     .conv(7, 3, 2, 0, 1)
                     .relu()
                     .pool(Pool::max, 3, 2, 1, 1)
                     .conv(5, 2, 1, 1, 0, false)
                     .activation(Kind::sigmoid)
                     .flatten()
                     .dense(6, false)
                     .build()},
      {"averages", from({2, 12, 12})
                       .conv(8, 3, 1, 1, 1)
                       .activation(Kind::tanh)
                       .pool(Pool::average, 2, 2)
                       .conv(9, 3)
                       .pool(Pool::average, 3, 1, 1, 1)
                       .relu()
                       .flatten()
                       .dense(5)
                       .build()},
      {"dropout", from({1, 10, 10})
                      .conv(6, 3)
                      .relu()
                      .dropout(0.3)
                      .max_pool(2)
                      .flatten()
                      .dropout(0.5)
                      .dense(20)
                      .relu()
                      .dropout(0.25)
                      .dense(4)
                      .build()},
      {"overlapping", from({1, 12, 12}).conv(16, 3).relu().pool(Pool::max, 3, 1).flatten().dense(3).build()},
      {"fused", from({3, 13, 11})
                    .conv(20, 3, 1, 1, 1)
                    .relu()
                    .max_pool(2)
                    .conv(9, 5, 1, 2, 2, false)
                    .max_pool(2)
                    .conv(33, 3, 1, 1, 1)
                    .conv(8, 3, 1, 2, 1)
                    .relu()
                    .pool(Pool::max, 3, 2)
                    .conv(10, 3, 1, 1, 1)
                    .activation(Kind::tanh)
                    .flatten()
                    .dense(6)
                    .build()},
      {"low_layers", from({3, 8, 8})
                         .relu()
                         .max_pool(2)
                         .activation(Kind::tanh)
                         .conv(5, 2)
                         .relu()
                         .flatten()
                         .dense(4)
                         .build()},
      {"no_flatten", from({4, 6, 6}).conv(8, 3).relu().conv(10, 4).build(config::Loss::mean_squared_error)},
      {"squared_error",
       from({6}).dense(8).activation(Kind::sigmoid).dense(3).build(config::Loss::mean_squared_error)},
      {"large_dense", from({1, 18, 18})
                          .conv(8, 3)
                          .relu()
                          .max_pool(2)
                          .flatten()
                          .dense(130)
                          .relu()
                          .dropout(0.4)
                          .dense(510)
                          .relu()
                          .dense(10)
                          .build()},
      {"few_outputs", from({1, 50, 50}).relu().flatten().dense(30, false).relu().dense(4).build()},
      {"relu_last", from({6}).dense(8).relu().dense(5).relu().build()},
  };
}

}  // namespace lockstep::testing
