#pragma once

#include "config/experiment.h"
#include "nn/layers/layer.h"
#include "nn/layers/place.h"

namespace lockstep::nn {

/// The maximum or the mean of each window of each channel; see device::Pool2dOp for ties and padded cells.
class Pool2d : public Layer {
 public:
  Pool2d(const config::MaxPool& settings, const Place& place);
  Pool2d(const config::AvgPool& settings, const Place& place);

  [[nodiscard]] const Shape& output() const override { return output_; }
  [[nodiscard]] device::Op declare(Parameters& parameters) const override;

 private:
  device::Pool2dOp op_;
  Shape output_;
};

}  // namespace lockstep::nn
