#include "device/cpu/elementwise.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/multiversion.h"
#include "device/elementwise_math.h"

namespace lockstep::device::cpu {
namespace {

/// 1 for infinity or NaN (all bits of the exponent set), else 0. An integer, so that a loop may combine them
/// in any order.
inline std::uint32_t non_finite(float value) {
  return (std::bit_cast<std::uint32_t>(value) & 0x7fffffffU) >= 0x7f800000U ? 1 : 0;
}

}  // namespace

LOCKSTEP_MULTIVERSION
void relu_forward(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = relu(x[i]);
}

LOCKSTEP_MULTIVERSION
void relu_backward(const float* y, float* gradient, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) gradient[i] = relu_gradient(y[i], gradient[i]);
}

LOCKSTEP_MULTIVERSION
void tanh_forward(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = portable_tanh(x[i]);
}

LOCKSTEP_MULTIVERSION
void tanh_backward(const float* y, float* gradient, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) gradient[i] = tanh_gradient(y[i], gradient[i]);
}

LOCKSTEP_MULTIVERSION
void sigmoid_forward(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = portable_sigmoid(x[i]);
}

LOCKSTEP_MULTIVERSION
void sigmoid_backward(const float* y, float* gradient, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) gradient[i] = sigmoid_gradient(y[i], gradient[i]);
}

LOCKSTEP_MULTIVERSION
void drop(const float* x, const std::uint8_t* kept, float divisor, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float scaled = x[i] / divisor;
    y[i] = kept[i] != 0 ? scaled : 0;
  }
}

LOCKSTEP_MULTIVERSION
void sum_rows(const float* x, std::int64_t rows, std::int64_t columns, float* sums) {
  std::copy_n(x, columns, sums);
  for (std::int64_t row = 1; row < rows; ++row)
    for (std::int64_t column = 0; column < columns; ++column) sums[column] += x[row * columns + column];
}

LOCKSTEP_MULTIVERSION
bool sgd(const SgdArguments& arguments, float* weights, const float* gradient, float* velocity,
         std::int64_t count) {
  const auto [rate, momentum, decay, nesterov] = arguments;
  // A velocity that is not finite makes a weight that is not: even a rate of zero, times infinity, is NaN.
  std::uint32_t bad = 0;
  if (momentum == 0) {
    for (std::int64_t i = 0; i < count; ++i) {
      const float g = gradient[i] + decay * weights[i];
      const float w = weights[i] - rate * g;
      bad |= non_finite(gradient[i]) | non_finite(w);
      weights[i] = w;
    }
  } else if (nesterov) {
    for (std::int64_t i = 0; i < count; ++i) {
      const float g = gradient[i] + decay * weights[i];
      const float v = momentum * velocity[i] + g;
      const float w = weights[i] - rate * (g + momentum * v);
      bad |= non_finite(gradient[i]) | non_finite(w);
      velocity[i] = v;
      weights[i] = w;
    }
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      const float g = gradient[i] + decay * weights[i];
      const float v = momentum * velocity[i] + g;
      const float w = weights[i] - rate * v;
      bad |= non_finite(gradient[i]) | non_finite(w);
      velocity[i] = v;
      weights[i] = w;
    }
  }
  return bad == 0;
}

LOCKSTEP_MULTIVERSION
bool adamw(const AdamWArguments& arguments, float* weights, const float* gradient, float* moment1,
           float* moment2, std::int64_t count) {
  const auto [rate, beta1, beta2, epsilon, weight_decay, correction1, correction2] = arguments;
  const float decay = rate * weight_decay;
  std::uint32_t bad = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = gradient[i];
    const float m = beta1 * moment1[i] + (1 - beta1) * g;
    const float v = beta2 * moment2[i] + (1 - beta2) * (g * g);
    const float step = rate * (m * correction1) / (std::sqrt(v * correction2) + epsilon);
    const float w = weights[i] - decay * weights[i] - step;
    // Unlike the first moment, an infinite second one does not show in the weight: its step is zero for ever.
    bad |= non_finite(g) | non_finite(v) | non_finite(w);
    moment1[i] = m;
    moment2[i] = v;
    weights[i] = w;
  }
  return bad == 0;
}

}  // namespace lockstep::device::cpu
