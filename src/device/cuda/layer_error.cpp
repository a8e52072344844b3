#include "device/cuda/layer_error.h"

#include <fmt/core.h>

#include <string_view>

namespace lockstep::device::cuda {

void fail_layer(const Node& node, std::int64_t samples, const Error& error) {
  if (std::string_view(error.what()).starts_with(fmt::format("layer {}: ", node.name))) throw error;
  fail(error.code(), "layer {} ({} to {}, shards of {} samples): {}", node.name, node.in.text(),
       node.out.text(), samples, error.what());
}

}  // namespace lockstep::device::cuda
