#pragma once

#include "nn/layers/layer.h"
#include "nn/layers/place.h"

namespace lockstep::nn {

/// A function of each element, on inputs of any shape.
class Activation : public Layer {
 public:
  Activation(device::ActivationOp::Kind kind, const Place& place);

  [[nodiscard]] const Shape& output() const override { return output_; }
  [[nodiscard]] device::Op declare(Parameters& parameters) const override;

 private:
  device::ActivationOp::Kind kind_;
  Shape output_;
};

}  // namespace lockstep::nn
