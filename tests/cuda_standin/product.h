#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lockstep::standin {

/// How the terms of a sum are added: in runs of `run` terms, each added up from zero in order; then the runs'
/// sums, in the order that `order` lists them in, or in ascending order where it is empty. Libraries'
/// algorithms differ in just this, and so in their last bits.
struct Addition {
  std::int64_t run = 64;
  std::vector<std::int64_t> order;

  [[nodiscard]] std::int64_t runs(std::int64_t terms) const { return (terms + run - 1) / run; }
};

/// c[i][j] = sum over t of a[t][i] · b[t][j], for `terms` values of t; all row by row, without gaps, in fp32
/// with a rounding after each multiplication and each addition.
void product(std::int64_t rows, std::int64_t columns, std::int64_t terms, std::span<const float> a,
             std::span<const float> b, std::span<float> c, const Addition& addition);

}  // namespace lockstep::standin
