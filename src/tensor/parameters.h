#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/shape.h"

namespace lockstep {

/// One named tensor of the model, a view into the flat slabs.
struct Parameter {
  std::string name;         ///< "conv1.weight"
  Shape shape;              ///< OIHW for a convolution, out × in for a dense layer, plain and without padding
  std::int64_t offset = 0;  ///< floats from the start of a slab
  std::int64_t count = 0;   ///< floats
};

/// The layout of the flat slabs: all weights lie in one run of floats, all gradients in another, in the order
/// in which the backward pass finishes them, so that a bucket of gradients is a plain range.
///
/// Owns no memory. Each tensor starts on a cache line; the gaps hold zeros in every slab, always.
class Parameters {
 public:
  /// Floats between the starts of tensors are multiples of this (64 bytes).
  static constexpr std::int64_t alignment = 16;
  /// Slices of ranks and blocks of updates start at multiples of this (4 KiB).
  static constexpr std::int64_t block = 1024;

  /// Appends a tensor; returns its index. Call in the order in which backward finishes. Names must be unique.
  int declare(std::string name, Shape shape);

  [[nodiscard]] const Parameter& operator[](int index) const {
    return parameters_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] std::span<const Parameter> all() const { return parameters_; }
  /// Floats of a slab, gaps and the padding to whole blocks included.
  [[nodiscard]] std::int64_t slab_size() const;
  /// Trainable numbers, gaps not counted.
  [[nodiscard]] std::int64_t count() const;
  /// The tensor that holds the float at `offset`, or the last one that starts before it.
  [[nodiscard]] const Parameter& at_offset(std::int64_t offset) const;

 private:
  std::vector<Parameter> parameters_;
};

}  // namespace lockstep
