#include "device/cuda/layer.h"

namespace lockstep::device::cuda {

int Contract::add_buffer(std::int64_t bytes, Life life) {
  if (bytes == 0) return -1;
  buffers.push_back({bytes, life});
  return static_cast<int>(buffers.size()) - 1;
}

}  // namespace lockstep::device::cuda
