#include "device/network.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"

namespace lockstep::device {
namespace {

std::int64_t forward_multiply_adds(const Conv2dOp& op) {
  return op.out_channels * op.out_height * op.out_width * op.in_channels * op.kernel_height * op.kernel_width;
}
std::int64_t forward_multiply_adds(const DenseOp& op) {
  return op.in * op.out;
}
template <class WithoutWeights>
std::int64_t forward_multiply_adds(const WithoutWeights&) {
  return 0;
}

}  // namespace

MultiplyAdds multiply_adds(const Op& op, bool is_first) {
  const std::int64_t count = std::visit([](const auto& one) { return forward_multiply_adds(one); }, op);
  return {.forward = count, .weight_gradient = count, .data_gradient = is_first ? 0 : count};
}

bool is_relu(const Op& op) {
  const auto* activation = std::get_if<ActivationOp>(&op);
  return activation != nullptr && activation->kind == ActivationOp::Kind::relu;
}

bool is_max_pool(const Op& op) {
  const auto* pool = std::get_if<Pool2dOp>(&op);
  return pool != nullptr && pool->kind == Pool2dOp::Kind::max;
}

bool has_parameters(const Op& op) {
  return std::visit([](const auto& one) { return requires { one.weight; }; }, op);
}

void check_chain(const Network& network) {
  check(!network.nodes.empty(), "a network has nodes");
  const Shape* shape = &network.input;
  for (const Node& node : network.nodes) {
    check(node.in == *shape, "a node takes what the one before gives");
    shape = &node.out;
  }
  check(shape->count() == network.classes, "the last node gives one output for each class");
}

void require_cells(const Pool2dOp& op, const Node& node) {
  if (op.pad_top < op.size_height && op.pad_bottom < op.size_height && op.pad_left < op.size_width &&
      op.pad_right < op.size_width)
    return;
  fail(ExitCode::bad_config,
       "layer {}: a pooling window of {}×{} cells does not fit a padding of {}, {} rows and {}, {} columns: "
       "the padding must be smaller than the window",
       node.name, op.size_height, op.size_width, op.pad_top, op.pad_bottom, op.pad_left, op.pad_right);
}

std::vector<Range> gaps_between(const Parameters& parameters, const std::vector<int>& written) {
  std::vector<Range> covered;
  for (const int index : written) {
    const Parameter& parameter = parameters[index];
    covered.push_back({parameter.offset, parameter.offset + parameter.count});
  }
  std::ranges::sort(covered, {}, &Range::begin);
  std::vector<Range> gaps;
  std::int64_t end = 0;
  for (const Range& range : covered) {
    check(range.begin >= end, "no two layers write the same gradient");
    if (range.begin > end) gaps.push_back({end, range.begin});
    end = range.end;
  }
  const std::int64_t slab = parameters.slab_size();
  if (end < slab) gaps.push_back({end, slab});
  return gaps;
}

}  // namespace lockstep::device
