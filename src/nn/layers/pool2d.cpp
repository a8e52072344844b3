#include "nn/layers/pool2d.h"

#include "nn/layers/window.h"

namespace lockstep::nn {
namespace {

/// Settings is MaxPool or AvgPool, which have the same members.
template <class Settings>
device::Pool2dOp place_pool(device::Pool2dOp::Kind kind, const Settings& settings, const Place& place) {
  constexpr config::Extent2 same_as_size{0, 0};
  const config::Extent2 stride = settings.stride == same_as_size ? settings.size : settings.stride;
  const auto [height, width] = place_window(place, "window", settings.size, stride, settings.padding);
  return {.kind = kind,
          .channels = place.input()[0],
          .in_height = height.in,
          .in_width = width.in,
          .out_height = height.out,
          .out_width = width.out,
          .size_height = height.size,
          .size_width = width.size,
          .stride_height = height.stride,
          .stride_width = width.stride,
          .pad_top = height.pad_before,
          .pad_bottom = height.pad_after,
          .pad_left = width.pad_before,
          .pad_right = width.pad_after};
}

Shape output_of(const device::Pool2dOp& op) {
  return {op.channels, op.out_height, op.out_width};
}

}  // namespace

Pool2d::Pool2d(const config::MaxPool& settings, const Place& place)
    : op_(place_pool(device::Pool2dOp::Kind::max, settings, place)), output_(output_of(op_)) {}

Pool2d::Pool2d(const config::AvgPool& settings, const Place& place)
    : op_(place_pool(device::Pool2dOp::Kind::average, settings, place)), output_(output_of(op_)) {}

device::Op Pool2d::declare(Parameters&) const {
  return op_;
}

}  // namespace lockstep::nn
