#include "base/portable_math.h"
#include "device/cuda/launch.h"
#include "device/cuda/layer.h"
#include "device/elementwise_math.h"

namespace lockstep::device::cuda {
namespace {

struct Relu {
  __device__ static float forward(float x) { return relu(x); }
  __device__ static float backward(float y, float dy) { return relu_gradient(y, dy); }
};
struct Tanh {
  __device__ static float forward(float x) { return portable_tanh(x); }
  __device__ static float backward(float y, float dy) { return tanh_gradient(y, dy); }
};
struct Sigmoid {
  __device__ static float forward(float x) { return portable_sigmoid(x); }
  __device__ static float backward(float y, float dy) { return sigmoid_gradient(y, dy); }
};

template <class Function>
struct Forward {
  const float* x;
  float* y;
  __device__ void operator()(std::int64_t i) const { y[i] = Function::forward(x[i]); }
};

template <class Function>
struct Backward {
  const float* y;
  float* gradient;
  __device__ void operator()(std::int64_t i) const { gradient[i] = Function::backward(y[i], gradient[i]); }
};

template <class Function>
class Activation final : public Layer {
 public:
  Activation(const ActivationOp& op, const Site& site) : count_(site.samples * op.count) {
    contract_.implementations = {"own"};
    contract_.data_gradient = contract_.diff_src_is_diff_dst = contract_.backward_reads_dst =
        site.data_gradient;
  }

  void forward(const Run& run) const override {
    launch_n(run.stream, count_, Forward<Function>{run.src, run.dst});
  }
  void backward(const Run& run) const override {
    launch_n(run.stream, count_, Backward<Function>{run.dst, run.diff_dst});
  }

 private:
  std::int64_t count_;
};

}  // namespace

std::unique_ptr<Layer> make_layer(const ActivationOp& op, const Site& site) {
  switch (op.kind) {
    case ActivationOp::Kind::relu:
      return std::make_unique<Activation<Relu>>(op, site);
    case ActivationOp::Kind::tanh:
      return std::make_unique<Activation<Tanh>>(op, site);
    case ActivationOp::Kind::sigmoid:
      return std::make_unique<Activation<Sigmoid>>(op, site);
  }
  return nullptr;
}

}  // namespace lockstep::device::cuda
