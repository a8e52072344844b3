#pragma once

#include <cublas_v2.h>

#include <cstddef>
#include <vector>

#include "runtime.h"

namespace lockstep::standin {

/// A matrix as cuBLAS takes it: column by column, `leading` elements from one column to the next.
struct Matrix {
  const void* data;
  cudaDataType type;
  int leading;
};

/// One call of cublasGemmEx: C = alpha · op(A) · op(B) + beta · C, of m × n elements.
struct Gemm {
  bool transpose_a, transpose_b;
  int m, n, k;
  float alpha, beta;
  Matrix a, b, c;
  cublasComputeType_t compute;
  bool tf32_allowed;  ///< by the handle's math mode
  void* workspace;
  std::size_t workspace_bytes;
};

/// What cuBLAS would return for these arguments. Aborts with violation() for those that it cannot see to be
/// wrong, such as matrices that overlap.
[[nodiscard]] cublasStatus_t check(const Gemm& gemm);
[[nodiscard]] std::vector<Access> accesses(const Gemm& gemm);
/// The result depends on the arguments, with the size of the workspace among them, and on nothing else.
void compute(const Gemm& gemm);

}  // namespace lockstep::standin
