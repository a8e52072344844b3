#pragma once

#include <memory>

#include "device/cuda/layer.h"

namespace lockstep::device::cuda {

/// A convolution of pictures with few channels, the ReLU behind it and a max-pool of 2×2 as one layer of own
/// kernels; null where it is not one of those (pooled_convolution.cu).
std::unique_ptr<Layer> make_pooled_convolution(const Conv2dOp& op, const Site& site);

}  // namespace lockstep::device::cuda
