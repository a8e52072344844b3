#include "nn/layers/conv2d.h"

#include "base/check.h"
#include "nn/layers/window.h"

namespace lockstep::nn {

Conv2d::Conv2d(const config::Conv2d& settings, const Place& place)
    : name_(place.name()), has_bias_(settings.bias) {
  check(settings.filters > 0, "a convolution has filters");
  const auto [height, width] =
      place_window(place, "kernel", settings.kernel, settings.stride, settings.padding);
  op_ = {.in_channels = place.input()[0],
         .in_height = height.in,
         .in_width = width.in,
         .out_channels = settings.filters,
         .out_height = height.out,
         .out_width = width.out,
         .kernel_height = height.size,
         .kernel_width = width.size,
         .stride_height = height.stride,
         .stride_width = width.stride,
         .pad_top = height.pad_before,
         .pad_bottom = height.pad_after,
         .pad_left = width.pad_before,
         .pad_right = width.pad_after};
  weight_ = {op_.out_channels, op_.in_channels, op_.kernel_height, op_.kernel_width};
  place.check_size("weight", weight_);
  output_ = {op_.out_channels, op_.out_height, op_.out_width};
}

device::Op Conv2d::declare(Parameters& parameters) const {
  device::Conv2dOp op = op_;
  op.weight = parameters.declare(name_ + ".weight", weight_);
  if (has_bias_) op.bias = parameters.declare(name_ + ".bias", {op.out_channels});
  return op;
}

}  // namespace lockstep::nn
