#include "device/cuda/kernels/update.h"

#include <cmath>

#include "base/check.h"
#include "device/cuda/launch.h"
#include "tensor/parameters.h"

// Operation by operation what cpu/elementwise.cpp does. Nothing is fused (-fmad=false), and divisions and
// square roots are rounded as IEEE 754 says, which is nvcc's default.
namespace lockstep::device::cuda {
namespace {

constexpr std::int64_t block_elements = Parameters::block;

/// Infinities and NaN: all bits of the exponent set.
__device__ inline bool is_finite(float value) {
  return std::fabs(value) <= 3.402823466e+38F;
}

// Several threads may set one flag: they all write the same, and CUDA promises that one of them does.

struct Sgd {
  const UpdateArguments* arguments;
  float* weights;
  const float* gradient;
  float* velocity;  ///< null without momentum
  std::uint32_t* not_finite;

  __device__ void operator()(std::int64_t i) const {
    if (arguments->skip != 0) return;
    const SgdArguments a = arguments->sgd;
    float step = gradient[i] + a.weight_decay * weights[i];
    if (velocity != nullptr) {
      const float v = a.momentum * velocity[i] + step;
      velocity[i] = v;
      step = a.nesterov ? step + a.momentum * v : v;
    }
    const float w = weights[i] - a.learning_rate * step;
    weights[i] = w;
    // A velocity that is not finite makes a weight that is not: even a rate of zero, times infinity, is NaN.
    if (!is_finite(gradient[i]) || !is_finite(w)) not_finite[i / block_elements] = 1;
  }
};

struct AdamW {
  const UpdateArguments* arguments;
  float* weights;
  const float* gradient;
  float* moment1;
  float* moment2;
  std::uint32_t* not_finite;

  __device__ void operator()(std::int64_t i) const {
    if (arguments->skip != 0) return;
    const AdamWArguments a = arguments->adamw;
    const float decay = a.learning_rate * a.weight_decay;
    const float g = gradient[i];
    const float m = a.beta1 * moment1[i] + (1 - a.beta1) * g;
    const float v = a.beta2 * moment2[i] + (1 - a.beta2) * (g * g);
    const float step = a.learning_rate * (m * a.correction1) / (std::sqrt(v * a.correction2) + a.epsilon);
    const float w = weights[i] - decay * weights[i] - step;
    moment1[i] = m;
    moment2[i] = v;
    weights[i] = w;
    // Unlike the first moment, an infinite second one does not show in the weight: its step is zero for ever.
    if (!is_finite(g) || !is_finite(v) || !is_finite(w)) not_finite[i / block_elements] = 1;
  }
};

struct TakeWeights {
  const UpdateArguments* arguments;
  const float* gathered;
  float* weights;

  __device__ void operator()(std::int64_t i) const {
    if (arguments->skip == 0) weights[i] = gathered[i];
  }
};

/// `state` is as large as the weights.
void check_sizes(DeviceSpan<const UpdateArguments> arguments, DeviceSpan<const float> weights,
                 DeviceSpan<const float> gradient, DeviceSpan<const float> state,
                 DeviceSpan<const std::uint32_t> not_finite) {
  check(arguments.count == 1, "an update has one set of arguments");
  check(gradient.count == weights.count && state.count == weights.count, "an update's tensors have one size");
  check(not_finite.count == (weights.count + block_elements - 1) / block_elements, "each block has a flag");
}

}  // namespace

void sgd_update(cudaStream_t stream, DeviceSpan<const UpdateArguments> arguments, DeviceSpan<float> weights,
                DeviceSpan<const float> gradient, DeviceSpan<float> velocity, bool momentum,
                DeviceSpan<std::uint32_t> not_finite) {
  check_sizes(arguments, weights, gradient, momentum ? velocity : weights, not_finite);
  launch_n(
      stream, weights.count,
      Sgd{arguments.data, weights.data, gradient.data, momentum ? velocity.data : nullptr, not_finite.data});
}

void adamw_update(cudaStream_t stream, DeviceSpan<const UpdateArguments> arguments, DeviceSpan<float> weights,
                  DeviceSpan<const float> gradient, DeviceSpan<float> moment1, DeviceSpan<float> moment2,
                  DeviceSpan<std::uint32_t> not_finite) {
  check_sizes(arguments, weights, gradient, moment1, not_finite);
  check(moment2.count == weights.count, "an update's tensors have one size");
  launch_n(stream, weights.count,
           AdamW{arguments.data, weights.data, gradient.data, moment1.data, moment2.data, not_finite.data});
}

void take_weights(cudaStream_t stream, DeviceSpan<const UpdateArguments> arguments,
                  DeviceSpan<const float> gathered, DeviceSpan<float> weights) {
  check(arguments.count == 1 && gathered.count == weights.count, "each weight was gathered");
  launch_n(stream, weights.count, TakeWeights{arguments.data, gathered.data, weights.data});
}

}  // namespace lockstep::device::cuda
