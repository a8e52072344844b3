#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

/// Extents of a tensor, slowest first. Shapes of activations leave the sample dimension out: an image is {C,
/// H, W}.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) : extents_(extents) {}
  explicit Shape(std::vector<std::int64_t> extents) : extents_(std::move(extents)) {}

  [[nodiscard]] std::size_t rank() const { return extents_.size(); }
  std::int64_t operator[](std::size_t axis) const { return extents_[axis]; }
  [[nodiscard]] const std::vector<std::int64_t>& extents() const { return extents_; }
  [[nodiscard]] std::int64_t count() const;  ///< elements: the product of the extents, 1 for a scalar
  [[nodiscard]] std::string text() const;    ///< "24×12×12"
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::vector<std::int64_t> extents_;
};

}  // namespace lockstep
