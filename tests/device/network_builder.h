#pragma once

#include <cstdint>
#include <string>

#include "device/network.h"

namespace lockstep::testing {

/// Stacks layers into a network for tests; shapes follow from the input. Parameters are declared first layer
/// first, which plans must not depend on.
class NetworkBuilder {
 public:
  explicit NetworkBuilder(Shape input);
  NetworkBuilder& conv(std::int64_t filters, std::int64_t kernel, std::int64_t stride = 1,
                       std::int64_t pad_before = 0, std::int64_t pad_after = 0, bool bias = true);
  NetworkBuilder& pool(device::Pool2dOp::Kind kind, std::int64_t size, std::int64_t stride,
                       std::int64_t pad_before = 0, std::int64_t pad_after = 0);
  NetworkBuilder& activation(device::ActivationOp::Kind kind);
  NetworkBuilder& relu() { return activation(device::ActivationOp::Kind::relu); }
  NetworkBuilder& max_pool(std::int64_t size) { return pool(device::Pool2dOp::Kind::max, size, size); }
  NetworkBuilder& flatten();
  NetworkBuilder& dense(std::int64_t units, bool bias = true);
  NetworkBuilder& dropout(double rate);
  /// The network; its last layer's outputs are the classes.
  device::Network build(config::Loss loss = config::Loss::softmax_cross_entropy);

 private:
  NetworkBuilder& add(const std::string& kind, device::Op op, Shape out);
  int declare(const std::string& what, Shape shape);

  device::Network network_;
  Shape shape_;
};

}  // namespace lockstep::testing
