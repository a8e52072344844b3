#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "device/accelerator.h"
#include "device/cuda/libraries.h"

namespace lockstep::device::cuda {

/// What a runner takes of a lane.
struct LaneNeeds {
  std::int64_t arena_bytes = 0;
  bool cudnn = false;
  bool cublas = false;
};

/// One arena and one handle of each library, as large as the largest of the runners wants them.
class Lane final : public DeviceLane {
 public:
  explicit Lane(Accelerator& accelerator);
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  ~Lane() override;

  /// Before use(): another arena may then be the lane's.
  void provide(const LaneNeeds& needs);
  /// What is called from now on goes to this stream. Whatever device was current, the lane's is now.
  void use(cudaStream_t stream);

  [[nodiscard]] std::byte* arena() const { return arena_->data(); }
  [[nodiscard]] const Libraries& libraries() const { return *libraries_; }

 private:
  Accelerator& accelerator_;
  LaneNeeds provided_;
  std::unique_ptr<Memory> arena_;
  std::optional<Libraries> libraries_;
  bool is_used_ = false;
};

/// The lane itself, or a new one for null. The accelerator must be one of this folder.
std::shared_ptr<Lane> lane_or_new(std::shared_ptr<DeviceLane> lane, Accelerator& accelerator);

}  // namespace lockstep::device::cuda
