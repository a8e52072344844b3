#include "cublas_gemm.h"

#include <algorithm>
#include <cstdint>

#include "library.h"
#include "numbers.h"
#include "product.h"

namespace lockstep::standin {
namespace {

std::size_t element_bytes(cudaDataType type) {
  return type == CUDA_R_16BF ? 2 : 4;
}

/// Of a matrix in memory, before op().
struct Extent {
  int rows, columns;
};
Extent extent_a(const Gemm& gemm) {
  return gemm.transpose_a ? Extent{gemm.k, gemm.m} : Extent{gemm.m, gemm.k};
}
Extent extent_b(const Gemm& gemm) {
  return gemm.transpose_b ? Extent{gemm.n, gemm.k} : Extent{gemm.k, gemm.n};
}
Extent extent_c(const Gemm& gemm) {
  return {gemm.m, gemm.n};
}

std::size_t bytes(const Matrix& matrix, Extent extent) {
  if (extent.rows == 0 || extent.columns == 0) return 0;
  const auto elements = static_cast<std::int64_t>(matrix.leading) * (extent.columns - 1) + extent.rows;
  return static_cast<std::size_t>(elements) * element_bytes(matrix.type);
}

/// The table of types in the documentation, as far as Lockstep's compute types go.
bool supported(const Gemm& gemm) {
  const auto input = gemm.a.type;
  if (input != gemm.b.type) return false;
  switch (gemm.compute) {
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      return (input == CUDA_R_32F && gemm.c.type == CUDA_R_32F) ||
             (input == CUDA_R_16BF && (gemm.c.type == CUDA_R_32F || gemm.c.type == CUDA_R_16BF));
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      return input == CUDA_R_32F && gemm.c.type == CUDA_R_32F;
    default:
      return false;
  }
}

float load(const Matrix& matrix, std::size_t index) {
  if (matrix.type == CUDA_R_16BF) return from_bfloat16(static_cast<const std::uint16_t*>(matrix.data)[index]);
  return static_cast<const float*>(matrix.data)[index];
}

/// A matrix of `terms` rows, rounded as the compute type says: the layout that product() takes. A term's row
/// is a column in memory, or, if `across`, a row of it.
std::vector<float> gather(const Gemm& gemm, const Matrix& matrix, int terms, int width, bool across) {
  const auto round = [&](float value) {
    if (gemm.compute == CUBLAS_COMPUTE_32F_FAST_16BF) return round_to_bfloat16(value);
    if (gemm.compute == CUBLAS_COMPUTE_32F_FAST_TF32 ||
        (gemm.compute == CUBLAS_COMPUTE_32F && gemm.tf32_allowed))
      return round_to_tf32(value);
    return value;
  };
  const auto leading = static_cast<std::size_t>(matrix.leading);
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(terms) * static_cast<std::size_t>(width));
  for (std::size_t t = 0; t < static_cast<std::size_t>(terms); ++t)
    for (std::size_t i = 0; i < static_cast<std::size_t>(width); ++i)
      values.push_back(round(load(matrix, across ? i * leading + t : t * leading + i)));
  return values;
}

/// As far as a product with split sums would use the workspace.
std::size_t used_workspace(const Gemm& gemm) {
  return std::min(gemm.workspace_bytes, bytes({nullptr, CUDA_R_32F, gemm.m}, extent_c(gemm)));
}

}  // namespace

cublasStatus_t check(const Gemm& gemm) {
  if (gemm.m < 0 || gemm.n < 0 || gemm.k < 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (gemm.a.leading < std::max(1, extent_a(gemm).rows) ||
      gemm.b.leading < std::max(1, extent_b(gemm).rows) || gemm.c.leading < std::max(1, gemm.m))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (!supported(gemm)) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (const auto& matrix : {gemm.a, gemm.b, gemm.c})
    if (reinterpret_cast<std::uintptr_t>(matrix.data) % element_bytes(matrix.type) != 0)
      violation("cublasGemmEx: a matrix that is not aligned to its elements");
  const Access a{gemm.a.data, bytes(gemm.a, extent_a(gemm)), false};
  const Access b{gemm.b.data, bytes(gemm.b, extent_b(gemm)), false};
  const Access c{gemm.c.data, bytes(gemm.c, extent_c(gemm)), true};
  const Access workspace{gemm.workspace, gemm.workspace_bytes, true};
  if (overlap(a, c) || overlap(b, c)) violation("cublasGemmEx: the result overlaps a factor");
  if (overlap(a, workspace) || overlap(b, workspace) || overlap(c, workspace))
    violation("cublasGemmEx: the workspace overlaps a matrix");
  return CUBLAS_STATUS_SUCCESS;
}

std::vector<Access> accesses(const Gemm& gemm) {
  std::vector<Access> result = {{gemm.c.data, bytes(gemm.c, extent_c(gemm)), true}};
  if (gemm.k > 0 && gemm.alpha != 0) {
    result.push_back({gemm.a.data, bytes(gemm.a, extent_a(gemm)), false});
    result.push_back({gemm.b.data, bytes(gemm.b, extent_b(gemm)), false});
  }
  if (gemm.workspace != nullptr) result.push_back({gemm.workspace, gemm.workspace_bytes, true});
  return result;
}

void compute(const Gemm& gemm) {
  const auto m = static_cast<std::size_t>(gemm.m);
  const auto n = static_cast<std::size_t>(gemm.n);
  // Row by row, product() gives the transposed result: n rows of m.
  std::vector<float> sums(m * n);
  if (gemm.k > 0 && gemm.alpha != 0) {
    const auto a = gather(gemm, gemm.a, gemm.k, gemm.m, gemm.transpose_a);
    const auto b = gather(gemm, gemm.b, gemm.k, gemm.n, !gemm.transpose_b);
    // Kernels that split their sums need somewhere to put the parts: the choice depends on the workspace.
    const Addition addition{.run = used_workspace(gemm) >= sizeof(float) * m * n ? 32 : 128, .order = {}};
    product(gemm.n, gemm.m, gemm.k, b, a, sums, addition);
  }
  for (std::size_t column = 0; column < n; ++column)
    for (std::size_t row = 0; row < m; ++row) {
      const auto index = column * static_cast<std::size_t>(gemm.c.leading) + row;
      float value = gemm.alpha * sums[column * m + row];
      // What is multiplied by zero is not read: it may be NaN.
      if (gemm.beta != 0) value += gemm.beta * load(gemm.c, index);
      auto* data = const_cast<void*>(gemm.c.data);
      if (gemm.c.type == CUDA_R_16BF)
        static_cast<std::uint16_t*>(data)[index] = to_bfloat16(value);
      else
        static_cast<float*>(data)[index] = value;
    }
  if (gemm.workspace != nullptr) poison(gemm.workspace, used_workspace(gemm));
}

}  // namespace lockstep::standin
