#include "tensor/parameters.h"

#include <algorithm>

#include "base/check.h"

namespace lockstep {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

int Parameters::declare(std::string name, Shape shape) {
  check(std::none_of(parameters_.begin(), parameters_.end(),
                     [&](const Parameter& other) { return other.name == name; }),
        "parameter names are unique");
  const std::int64_t offset =
      parameters_.empty() ? 0 : round_up(parameters_.back().offset + parameters_.back().count, alignment);
  const std::int64_t count = shape.count();
  parameters_.push_back({std::move(name), std::move(shape), offset, count});
  return static_cast<int>(parameters_.size()) - 1;
}

std::int64_t Parameters::slab_size() const {
  return parameters_.empty() ? 0 : round_up(parameters_.back().offset + parameters_.back().count, block);
}

std::int64_t Parameters::count() const {
  std::int64_t total = 0;
  for (const Parameter& parameter : parameters_) total += parameter.count;
  return total;
}

const Parameter& Parameters::at_offset(std::int64_t offset) const {
  check(!parameters_.empty() && offset >= 0, "a slab offset belongs to a parameter");
  const auto after = std::upper_bound(
      parameters_.begin(), parameters_.end(), offset,
      [](std::int64_t wanted, const Parameter& parameter) { return wanted < parameter.offset; });
  return *std::prev(after);
}

}  // namespace lockstep
