#include "device/cpu/block.h"

#include <fmt/core.h>

namespace lockstep::device::cpu {

Dims Site::dims(const Shape& per_sample) const {
  Dims dims{samples};
  dims.insert(dims.end(), per_sample.extents().begin(), per_sample.extents().end());
  return dims;
}

int Contract::add_buffer(const Desc& desc, Life life) {
  if (desc.get_size() == 0) return -1;
  buffers.push_back({desc, life});
  return static_cast<int>(buffers.size()) - 1;
}

dnnl::memory Bindings::buffer(int index) const {
  return index < 0 ? dnnl::memory() : buffers[static_cast<std::size_t>(index)];
}

void Block::forward(std::span<const BlockRun> runs) const {
  for (const auto& [runner, pass] : runs) runner->forward(*pass);
}

void Block::backward(std::span<const BlockRun> runs) const {
  for (const auto& [runner, pass] : runs) runner->backward(*pass);
}

std::string name_implementations(const std::string& forward, const std::string& weights,
                                 const std::string& data) {
  const bool same_weights = weights.empty() || weights == forward;
  const bool same_data = data.empty() || data == forward;
  if (same_weights && same_data) return forward;
  std::string text = "forward " + forward;
  if (!weights.empty()) text += ", weights " + weights;
  if (!data.empty()) text += ", data " + data;
  return text;
}

}  // namespace lockstep::device::cpu
