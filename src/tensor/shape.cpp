#include "tensor/shape.h"

#include <fmt/format.h>

#include <functional>
#include <numeric>

namespace lockstep {

std::int64_t Shape::count() const {
  return std::accumulate(extents_.begin(), extents_.end(), std::int64_t{1}, std::multiplies<>());
}

std::string Shape::text() const {
  return extents_.empty() ? "scalar" : fmt::format("{}", fmt::join(extents_, "×"));
}

}  // namespace lockstep
