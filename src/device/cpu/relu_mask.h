#pragma once

#include "device/cpu/elementwise.h"
#include "device/cpu/onednn.h"

namespace lockstep::device::cpu {

/// The backward pass of a ReLU that another block computes: clears the gradient of y, in place, where y is
/// not positive. Both have the same layout, and lie where they are for the life of the runner.
class ReluMask {
 public:
  ReluMask() = default;  ///< does nothing
  ReluMask(const dnnl::memory& y, const dnnl::memory& gradient)
      : y_(floats(y)), gradient_(floats(gradient)), count_(floats_of(y.get_desc())) {}
  void apply() const { relu_backward(y_, gradient_, count_); }

 private:
  const float* y_ = nullptr;
  float* gradient_ = nullptr;
  std::int64_t count_ = 0;
};

}  // namespace lockstep::device::cpu
