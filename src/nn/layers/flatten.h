#pragma once

#include "nn/layers/layer.h"
#include "nn/layers/place.h"

namespace lockstep::nn {

/// All axes of a sample become one, in the order C, H, W; an input with one axis stays as it is.
class Flatten : public Layer {
 public:
  explicit Flatten(const Place& place);

  [[nodiscard]] const Shape& output() const override { return output_; }
  [[nodiscard]] device::Op declare(Parameters& parameters) const override;

 private:
  Shape output_;
};

}  // namespace lockstep::nn
