#include "device/network.h"

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

}  // namespace lockstep::device
