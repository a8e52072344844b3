#include "train/compare_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <tuple>

namespace lockstep::train {
namespace {

/// What tensors are sorted by: the slab, "weights" or "optimizer/velocity"; the layer's place; the part.
auto place_of(const std::string& name, std::span<const std::string> layers) {
  const std::size_t slash = name.rfind('/') + 1, dot = std::min(name.rfind('.'), name.size());
  const std::string layer = name.substr(slash, dot - slash);
  const auto position = std::ranges::find(layers, layer) - layers.begin();
  return std::tuple(!name.starts_with("weights/"), name.substr(0, slash), position, layer,
                    name.ends_with(".bias"), name);
}

std::vector<std::string> names_of(const checkpoint::TensorFile& a, const checkpoint::TensorFile& b,
                                  std::span<const std::string> layers) {
  std::vector<std::string> names;
  std::ranges::set_union(a.names(), b.names(), std::back_inserter(names));
  std::ranges::sort(names, {}, [&](const std::string& name) { return place_of(name, layers); });
  return names;
}

std::optional<Shape> shape_in(const checkpoint::TensorFile& file, const std::string& name) {
  const bool there = std::ranges::binary_search(file.names(), name);
  return there ? std::optional(file.shape(name)) : std::nullopt;
}

}  // namespace

std::optional<ValueDifference> compare_values(std::span<const float> a, std::span<const float> b) {
  ValueDifference found;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(a[i]) == std::bit_cast<std::uint32_t>(b[i])) continue;
    if (found.count++ == 0) found.first = static_cast<std::int64_t>(i);
    // Equal infinities are equal bits, so NaN comes of NaN only.
    const double distance = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (std::isnan(distance) || distance > found.largest) found.largest = distance;
  }
  return found.count > 0 ? std::optional(found) : std::nullopt;
}

std::string index_text(const Shape& shape, std::int64_t place) {
  std::vector<std::int64_t> index(shape.rank());
  for (std::size_t axis = shape.rank(); axis-- > 0; place /= shape[axis]) index[axis] = place % shape[axis];
  return fmt::format("[{}]", fmt::join(index, ", "));
}

std::vector<TensorDifference> compare_tensors(const checkpoint::TensorFile& a,
                                              const checkpoint::TensorFile& b,
                                              std::span<const std::string> layers) {
  std::vector<TensorDifference> found;
  for (const std::string& name : names_of(a, b, layers)) {
    TensorDifference tensor{.name = name, .shape_a = shape_in(a, name), .shape_b = shape_in(b, name)};
    if (tensor.shape_a == tensor.shape_b) {
      tensor.values = compare_values(a.read(name), b.read(name));
      if (!tensor.values) continue;
    }
    found.push_back(std::move(tensor));
  }
  return found;
}

}  // namespace lockstep::train
