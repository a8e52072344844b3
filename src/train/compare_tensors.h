#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/tensor_file.h"
#include "tensor/shape.h"

namespace lockstep::train {

/// Numbers with other bits at the same place of two tensors of one shape.
struct ValueDifference {
  std::int64_t count = 0;
  double largest = 0;      ///< absolute difference; NaN as soon as one number is
  std::int64_t first = 0;  ///< place of the first, rows first to last
  friend bool operator==(const ValueDifference&, const ValueDifference&) = default;
};

/// Nothing when all bits are equal. Of one size.
std::optional<ValueDifference> compare_values(std::span<const float> a, std::span<const float> b);

/// "[2, 0, 11]": a place among the numbers of a tensor as one index for each axis.
std::string index_text(const Shape& shape, std::int64_t place);

/// A tensor that two files do not have alike.
struct TensorDifference {
  std::string name;  ///< in the files: "weights/conv1.weight"
  std::optional<Shape> shape_a = std::nullopt, shape_b = std::nullopt;  ///< nothing where a file lacks it
  std::optional<ValueDifference> values = std::nullopt;                 ///< where the shapes are equal
};

/// All tensors that differ: weights before the optimizer's state, each in the order of `layers`, weight
/// before bias; tensors of other layers come last. Reads one tensor of each file at a time. Errors as
/// TensorFile's.
std::vector<TensorDifference> compare_tensors(const checkpoint::TensorFile& a,
                                              const checkpoint::TensorFile& b,
                                              std::span<const std::string> layers);

}  // namespace lockstep::train
