#include "comm/device_collective.h"
#include "comm/nccl_version.h"

/// Of a program that is built without NCCL.
namespace lockstep::comm {

std::unique_ptr<DeviceCollective> make_nccl_collective(World& /*world*/, device::Accelerator& /*accelerator*/,
                                                       std::int64_t /*slab_size*/, std::int64_t /*shards*/) {
  return nullptr;
}

std::string nccl_version() {
  return "";
}

}  // namespace lockstep::comm
