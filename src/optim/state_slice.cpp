#include "optim/state_slice.h"

#include <algorithm>

#include "base/check.h"

namespace lockstep::optim {

StateSlice::StateSlice(Range slice, bool kept)
    : slice_(slice), kept_(kept), values_(kept ? static_cast<std::size_t>(slice.size()) : 0) {
  std::fill(values_.span().begin(), values_.span().end(), 0.0F);
}

std::span<float> StateSlice::at(std::int64_t first, std::size_t count) const {
  check(first >= slice_.begin && first + static_cast<std::int64_t>(count) <= slice_.end,
        "an optimizer updates its own slice only");
  if (!kept_) return {};
  return values_.span().subspan(static_cast<std::size_t>(first - slice_.begin), count);
}

}  // namespace lockstep::optim
