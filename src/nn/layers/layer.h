#pragma once

#include "device/network.h"
#include "tensor/parameters.h"
#include "tensor/shape.h"

namespace lockstep::nn {

/// One layer in its place in the model, made from its settings and the shape of its input: the constructor
/// infers the extents and throws Error(bad_config) if they do not fit.
///
/// Making and declaring are two steps because they run in opposite directions: shapes follow from the first
/// layer on, parameters lie in the slabs in the order in which backward finishes them, from the last layer
/// back.
class Layer {
 public:
  virtual ~Layer() = default;

  /// Shape of one sample's output.
  [[nodiscard]] virtual const Shape& output() const = 0;

  /// Declares the layer's tensors, "<name>.weight" before "<name>.bias", and returns the operation that uses
  /// them. Call once, after every later layer's.
  [[nodiscard]] virtual device::Op declare(Parameters& parameters) const = 0;
};

}  // namespace lockstep::nn
