#include "product.h"

#include <algorithm>

namespace lockstep::standin {

void product(std::int64_t rows, std::int64_t columns, std::int64_t terms, std::span<const float> a,
             std::span<const float> b, std::span<float> c, const Addition& addition) {
  std::fill(c.begin(), c.end(), 0.0F);
  std::vector<float> sums(static_cast<std::size_t>(columns));
  const auto runs = addition.runs(terms);
  for (std::int64_t n = 0; n < runs; ++n) {
    const auto run = addition.order.empty() ? n : addition.order[static_cast<std::size_t>(n)];
    const auto first = run * addition.run;
    const auto last = std::min(first + addition.run, terms);
    for (std::int64_t i = 0; i < rows; ++i) {
      std::fill(sums.begin(), sums.end(), 0.0F);
      for (auto t = first; t < last; ++t) {
        const float factor = a[static_cast<std::size_t>(t * rows + i)];
        const float* row = &b[static_cast<std::size_t>(t * columns)];
        for (std::int64_t j = 0; j < columns; ++j) sums[static_cast<std::size_t>(j)] += factor * row[j];
      }
      float* out = &c[static_cast<std::size_t>(i * columns)];
      for (std::int64_t j = 0; j < columns; ++j) out[j] += sums[static_cast<std::size_t>(j)];
    }
  }
}

}  // namespace lockstep::standin
