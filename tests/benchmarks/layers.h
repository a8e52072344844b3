#pragma once

#include <string>
#include <vector>

#include "device/backend.h"
#include "device/cpu/fused/problem.h"

namespace lockstep {

/// A convolution with bias and ReLU, perhaps a 2×2 max-pool behind it, on one shard.
struct Layer {
  std::string name;
  device::cpu::fused::Problem problem;
  bool lowest;  ///< no data gradient, and the direct kernels can do it too
  /// As in a trained network, three in ten windows are alive behind the pool, for each channel. Else numbers
  /// are random, and nearly all are.
  bool few_alive = false;

  /// Operations of one pass as the definition counts them, two for a multiply-add.
  [[nodiscard]] double operations() const;
  /// What device.convolutions=auto computes it with: "winograd2" (with tiles of 2×2), "winograd4", "direct"
  /// or "onednn".
  [[nodiscard]] std::string automatic() const;
};

/// Shapes that networks for small images have, those of MNIST's and of the CIFAR-shaped benchmark among them.
std::vector<Layer> layers();

}  // namespace lockstep
