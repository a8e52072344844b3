#pragma once

#include "config/experiment.h"
#include "nn/layers/layer.h"
#include "nn/layers/place.h"

namespace lockstep::nn {

/// Cross-correlation of C × H × W with `filters` kernels: weight OIHW, bias O.
class Conv2d : public Layer {
 public:
  Conv2d(const config::Conv2d& settings, const Place& place);

  [[nodiscard]] const Shape& output() const override { return output_; }
  [[nodiscard]] device::Op declare(Parameters& parameters) const override;

 private:
  std::string name_;
  bool has_bias_;
  device::Conv2dOp op_;  ///< complete but for its tensors
  Shape weight_;
  Shape output_;
};

}  // namespace lockstep::nn
