#include <optional>

#include "device/cuda/bias.h"
#include "device/cuda/layer.h"

namespace lockstep::device::cuda {
namespace {

cublasComputeType_t compute_type(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return CUBLAS_COMPUTE_32F_PEDANTIC;
    case Precision::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::bf16:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
  }
  return CUBLAS_COMPUTE_32F_PEDANTIC;
}

/// A matrix that lies column by column, as cuBLAS has them: a row-major one is that of its transpose.
struct Matrix {
  const float* data;
  std::int64_t rows;  ///< as it lies: the distance between columns
  cublasOperation_t operation;
};

constexpr cublasOperation_t as_it_is = CUBLAS_OP_N, transposed = CUBLAS_OP_T;

/// Matrix products by cuBLAS.
class Dense final : public Layer {
 public:
  Dense(const DenseOp& op, const Site& site)
      : weight_(site.parameter(op.weight)),
        in_(op.in),
        outputs_{.samples = site.samples, .channels = op.out, .plane = 1},
        compute_(compute_type(site.precision)),
        relu_(site.relu_follows),
        masks_(relu_ && site.pool == nullptr) {
    if (op.bias >= 0) bias_ = site.parameter(op.bias);
    contract_.implementations = {"cublas"};
    if (relu_) contract_.implementations.emplace_back("fused");
    if (!site.backward) return;
    contract_.data_gradient = site.data_gradient;
    contract_.backward_reads_src = true;
    contract_.backward_reads_dst = masks_;
    contract_.gradients.push_back(op.weight);
    if (op.bias < 0) return;
    contract_.gradients.push_back(op.bias);
    bias_scratch_ = contract_.add_buffer(
        bias_gradient_scratch(outputs_) * static_cast<std::int64_t>(sizeof(float)), Life::backward);
  }

  // In terms of the rows of samples x, y and of weights w (out × in), all row-major:
  // yᵀ = w xᵀ, dwᵀ = xᵀ dy, dxᵀ = wᵀ dyᵀ.

  void forward(const Run& run) const override {
    multiply(run, {run.weight(weight_), in_, transposed}, {run.src, in_, as_it_is}, run.dst, out(), samples(),
             in_);
    const float* const bias = bias_ ? run.weight(*bias_) : nullptr;
    if (bias != nullptr || relu_) add_bias(run.stream, outputs_, run.dst, bias, relu_, run.dst);
  }

  void backward(const Run& run) const override {
    const float* const mask = masks_ ? run.dst : nullptr;
    if (bias_)
      sum_bias_gradient(run.stream, outputs_, mask, run.diff_dst, run.buffer<float>(bias_scratch_),
                        run.gradient_of(*bias_));
    else if (mask != nullptr)
      mask_relu(run.stream, outputs_.count(), mask, run.diff_dst);
    multiply(run, {run.src, in_, as_it_is}, {run.diff_dst, out(), transposed}, run.gradient_of(weight_), in_,
             out(), samples());
    if (contract_.data_gradient)
      multiply(run, {run.weight(weight_), in_, as_it_is}, {run.diff_dst, out(), as_it_is}, run.diff_src, in_,
               samples(), out());
  }

 private:
  [[nodiscard]] std::int64_t out() const { return outputs_.channels; }
  [[nodiscard]] std::int64_t samples() const { return outputs_.samples; }

  /// product (rows × columns) = a b, over `depth` terms each.
  void multiply(const Run& run, const Matrix& a, const Matrix& b, float* product, std::int64_t rows,
                std::int64_t columns, std::int64_t depth) const {
    const float one = 1, zero = 0;
    call(
        cublasGemmEx(run.libraries.cublas(), a.operation, b.operation, narrow(rows), narrow(columns),
                     narrow(depth), &one, a.data, CUDA_R_32F, narrow(a.rows), b.data, CUDA_R_32F,
                     narrow(b.rows), &zero, product, CUDA_R_32F, narrow(rows), compute_, CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx");
  }

  Parameter weight_;
  std::optional<Parameter> bias_;
  std::int64_t in_;
  Channels outputs_;
  cublasComputeType_t compute_;
  bool relu_;   ///< covers the ReLU behind it
  bool masks_;  ///< backward begins with the ReLU's
  int bias_scratch_ = -1;
};

}  // namespace

std::unique_ptr<Layer> make_layer(const DenseOp& op, const Site& site) {
  return std::make_unique<Dense>(op, site);
}

}  // namespace lockstep::device::cuda
