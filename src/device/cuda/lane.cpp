#include "device/cuda/lane.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace lockstep::device::cuda {

Lane::Lane(Accelerator& accelerator) : accelerator_(accelerator) {}

Lane::~Lane() {
  note(cudaSetDevice(accelerator_.facts().index), "cudaSetDevice");  // handles are closed on their device
}

void Lane::provide(const LaneNeeds& needs) {
  const LaneNeeds all{.arena_bytes = std::max(needs.arena_bytes, provided_.arena_bytes),
                      .cudnn = needs.cudnn || provided_.cudnn,
                      .cublas = needs.cublas || provided_.cublas};
  const bool has_arena = arena_ && all.arena_bytes == provided_.arena_bytes;
  const bool has_libraries = libraries_ && all.cudnn == provided_.cudnn && all.cublas == provided_.cublas;
  if (has_arena && has_libraries) return;
  check(!is_used_, "all runners of a lane are made before the first of them is used");
  use_device(accelerator_.facts().index);
  if (!has_arena) {
    arena_.reset();  // first: there may be no room for both
    arena_ = accelerator_.allocate(all.arena_bytes);
  }
  if (!has_libraries) {
    libraries_.reset();
    libraries_.emplace(accelerator_, all.cudnn, all.cublas);
  }
  provided_ = all;
}

void Lane::use(cudaStream_t stream) {
  is_used_ = true;
  use_device(accelerator_.facts().index);
  libraries_->use(stream);
}

std::shared_ptr<Lane> lane_or_new(std::shared_ptr<DeviceLane> lane, Accelerator& accelerator) {
  if (!lane) return std::make_shared<Lane>(accelerator);
  auto known = std::dynamic_pointer_cast<Lane>(std::move(lane));
  check(known != nullptr, "a CUDA accelerator works on its own lanes");
  return known;
}

}  // namespace lockstep::device::cuda
