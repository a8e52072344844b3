#pragma once

#include "config/experiment.h"
#include "nn/layers/layer.h"
#include "nn/layers/place.h"

namespace lockstep::nn {

/// Inverted dropout, on inputs of any shape. Its random stream is its number among the model's dropout
/// layers.
class Dropout : public Layer {
 public:
  Dropout(const config::Dropout& settings, const Place& place);

  [[nodiscard]] const Shape& output() const override { return output_; }
  [[nodiscard]] device::Op declare(Parameters& parameters) const override;

 private:
  double rate_;
  std::uint32_t stream_;
  Shape output_;
};

}  // namespace lockstep::nn
