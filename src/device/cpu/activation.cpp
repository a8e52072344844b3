#include "device/cpu/activation.h"

#include "device/cpu/elementwise.h"

namespace lockstep::device::cpu {
namespace {

using Kind = ActivationOp::Kind;

class ActivationRunner final : public BlockRunner {
 public:
  ActivationRunner(Kind kind, const Bindings& bindings)
      : kind_(kind),
        src_(bindings.src),
        dst_(bindings.dst),
        diff_(bindings.diff_dst),
        count_(floats_of(dst_.get_desc())) {}

  void forward(const Pass& /*pass*/) override {
    const float* x = floats(src_);
    float* y = floats(dst_);
    switch (kind_) {
      case Kind::relu:
        return relu_forward(x, y, count_);
      case Kind::tanh:
        return tanh_forward(x, y, count_);
      case Kind::sigmoid:
        return sigmoid_forward(x, y, count_);
    }
  }

  void backward(const Pass& /*pass*/) override {
    const float* y = floats(dst_);
    float* diff = floats(diff_);
    switch (kind_) {
      case Kind::relu:
        return relu_backward(y, diff, count_);
      case Kind::tanh:
        return tanh_backward(y, diff, count_);
      case Kind::sigmoid:
        return sigmoid_backward(y, diff, count_);
    }
  }

 private:
  Kind kind_;
  dnnl::memory src_, dst_, diff_;
  std::int64_t count_;
};

class Activation final : public Block {
 public:
  Activation(const ActivationOp& op, const Site& site) : kind_(op.kind) {
    // Padded cells must stay zero: relu(0) and tanh(0) are, sigmoid(0) is not.
    const bool keeps_zero = kind_ != Kind::sigmoid;
    contract_.src = keeps_zero || !has_padding(site.offered) ? site.offered : plain(dims_of(site.offered));
    contract_.dst = contract_.diff_dst = contract_.src;
    contract_.implementations = {"own"};
    if (!site.data_gradient) return;
    contract_.diff_src = contract_.src;
    contract_.diff_src_is_diff_dst = true;
    contract_.backward_reads_dst = true;
  }

  [[nodiscard]] std::unique_ptr<BlockRunner> make_runner(const Bindings& bindings) const override {
    return std::make_unique<ActivationRunner>(kind_, bindings);
  }

 private:
  Kind kind_;
};

}  // namespace

std::unique_ptr<Block> make_block(const ActivationOp& op, const Site& site) {
  return std::make_unique<Activation>(op, site);
}

}  // namespace lockstep::device::cpu
