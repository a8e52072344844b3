#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "device/cpu/network_plan.h"

namespace lockstep::device::cpu {

/// A plan's stages, bound to memory: for one shard at a time. Must not outlive the plan, nor the memory.
class BoundNetwork {
 public:
  /// `arena` and `scratch`: as large as the plan's. Others of one shard may have the same arena, and others
  /// of one thread the same scratch memory.
  BoundNetwork(const NetworkPlan& plan, std::span<std::byte> arena, std::span<std::byte> scratch);

  /// Memory for an arena, filled with zeros.
  [[nodiscard]] static AlignedBuffer<std::byte> make_arena(const NetworkPlan& plan);

  /// Where the images of the shard lie.
  void set_images(const float* images);
  [[nodiscard]] BlockRunner& stage(std::size_t index) const { return *stages_[index]; }
  /// After the forward pass. Begins the backward pass if there is one.
  [[nodiscard]] Totals loss(const std::int32_t* labels, bool has_backward) const;

 private:
  dnnl::memory bind(const NetworkPlan::Tensor& tensor);

  const NetworkPlan& plan_;
  std::span<std::byte> arena_, scratch_;
  std::vector<dnnl::memory> images_;  ///< views of the caller's images
  dnnl::memory outputs_, output_gradient_;
  std::vector<std::unique_ptr<BlockRunner>> stages_;
};

}  // namespace lockstep::device::cpu
