#pragma once

#include <cmath>
#include <cstdint>

#include "base/portable_math.h"

/// What is computed of one element, for all devices: a GPU's kernels call these too, and get the same bits.
namespace lockstep::device {

/// max(x, 0); NaN stays NaN.
constexpr float relu(float x) {
  return x <= 0 ? 0 : x;
}

// The gradient of x, given y and the gradient of y. The ReLU's is zero where y is.
constexpr float relu_gradient(float y, float dy) {
  return y <= 0 ? 0 : dy;
}
constexpr float tanh_gradient(float y, float dy) {
  return dy * (1 - y * y);
}
constexpr float sigmoid_gradient(float y, float dy) {
  return dy * (y * (1 - y));
}

/// unit_float(word) < rate, as DropoutOp has it, is word >> 8 < dropout_threshold(rate): both sides times
/// 2^24, and an integer is below a bound exactly when it is below the bound's ceiling.
inline std::uint32_t dropout_threshold(double rate) {
  return static_cast<std::uint32_t>(std::ceil(rate * 0x1p24));
}
/// What elements that are kept are divided by.
inline float dropout_divisor(double rate) {
  return static_cast<float>(1.0 - rate);
}

}  // namespace lockstep::device
