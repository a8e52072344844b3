#pragma once

#include "config/experiment.h"
#include "nn/layers/layer.h"
#include "nn/layers/place.h"

namespace lockstep::nn {

/// y = W x + b on inputs with one axis: weight out × in, bias out.
class Dense : public Layer {
 public:
  Dense(const config::Dense& settings, const Place& place);

  [[nodiscard]] const Shape& output() const override { return output_; }
  [[nodiscard]] device::Op declare(Parameters& parameters) const override;

 private:
  std::string name_;
  bool has_bias_;
  device::DenseOp op_;  ///< complete but for its tensors
  Shape weight_;
  Shape output_;
};

}  // namespace lockstep::nn
