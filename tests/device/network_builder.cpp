#include "device/network_builder.h"

#include <fmt/core.h>

namespace lockstep::testing {

using namespace device;

NetworkBuilder::NetworkBuilder(Shape input) : shape_(input) {
  network_.input = std::move(input);
  network_.seed = 17;
}

NetworkBuilder& NetworkBuilder::add(const std::string& kind, Op op, Shape out) {
  network_.nodes.push_back({fmt::format("{}_{}", kind, network_.nodes.size()), std::move(op), shape_, out});
  shape_ = std::move(out);
  return *this;
}

int NetworkBuilder::declare(const std::string& what, Shape shape) {
  return network_.parameters.declare(fmt::format("{}.{}", network_.nodes.size(), what), std::move(shape));
}

NetworkBuilder& NetworkBuilder::conv(std::int64_t filters, std::int64_t kernel, std::int64_t stride,
                                     std::int64_t pad_before, std::int64_t pad_after, bool bias) {
  const auto out = [&](std::int64_t in) { return (in + pad_before + pad_after - kernel) / stride + 1; };
  Conv2dOp op{.in_channels = shape_[0],
              .in_height = shape_[1],
              .in_width = shape_[2],
              .out_channels = filters,
              .out_height = out(shape_[1]),
              .out_width = out(shape_[2]),
              .kernel_height = kernel,
              .kernel_width = kernel,
              .stride_height = stride,
              .stride_width = stride,
              .pad_top = pad_before,
              .pad_bottom = pad_after,
              .pad_left = pad_before,
              .pad_right = pad_after,
              .weight = declare("weight", {filters, shape_[0], kernel, kernel})};
  if (bias) op.bias = declare("bias", {filters});
  return add("conv", op, {filters, op.out_height, op.out_width});
}

NetworkBuilder& NetworkBuilder::pool(Pool2dOp::Kind kind, std::int64_t size, std::int64_t stride,
                                     std::int64_t pad_before, std::int64_t pad_after) {
  const auto out = [&](std::int64_t in) { return (in + pad_before + pad_after - size) / stride + 1; };
  const Pool2dOp op{.kind = kind,
                    .channels = shape_[0],
                    .in_height = shape_[1],
                    .in_width = shape_[2],
                    .out_height = out(shape_[1]),
                    .out_width = out(shape_[2]),
                    .size_height = size,
                    .size_width = size,
                    .stride_height = stride,
                    .stride_width = stride,
                    .pad_top = pad_before,
                    .pad_bottom = pad_after,
                    .pad_left = pad_before,
                    .pad_right = pad_after};
  return add("pool", op, {shape_[0], op.out_height, op.out_width});
}

NetworkBuilder& NetworkBuilder::activation(ActivationOp::Kind kind) {
  return add("activation", ActivationOp{.kind = kind, .count = shape_.count()}, shape_);
}

NetworkBuilder& NetworkBuilder::flatten() {
  const std::int64_t count = shape_.count();
  return add("flatten", FlattenOp{.count = count}, {count});
}

NetworkBuilder& NetworkBuilder::dense(std::int64_t units, bool bias) {
  DenseOp op{.in = shape_.count(), .out = units, .weight = declare("weight", {units, shape_.count()})};
  if (bias) op.bias = declare("bias", {units});
  return add("dense", op, {units});
}

NetworkBuilder& NetworkBuilder::dropout(double rate) {
  const auto stream = static_cast<std::uint32_t>(network_.nodes.size());
  return add("dropout", DropoutOp{.count = shape_.count(), .rate = rate, .stream = stream}, shape_);
}

Network NetworkBuilder::build(config::Loss loss) {
  network_.loss = loss;
  network_.classes = shape_.count();
  return network_;
}

}  // namespace lockstep::testing
