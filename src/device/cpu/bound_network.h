#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "device/cpu/network_plan.h"

namespace lockstep::device::cpu {

/// A plan's stages, bound to memory: for one shard at a time. Must not outlive the plan.
class BoundNetwork {
 public:
  /// `scratch`: as large as plan.scratch(). Others of one thread may have the same.
  BoundNetwork(const NetworkPlan& plan, std::span<std::byte> scratch);

  /// Where the images of the shard lie.
  void set_images(const float* images);
  [[nodiscard]] BlockRunner& stage(std::size_t index) const { return *stages_[index]; }
  /// After the forward pass. Begins the backward pass if there is one.
  [[nodiscard]] Totals loss(const std::int32_t* labels, bool has_backward) const;

 private:
  dnnl::memory bind(const NetworkPlan::Tensor& tensor);
  dnnl::memory bind(const Contract::Buffer& buffer, int place, std::span<std::byte> scratch);

  const NetworkPlan& plan_;
  AlignedBuffer<std::byte> arena_;
  std::vector<dnnl::memory> images_;  ///< views of the caller's images
  dnnl::memory outputs_, output_gradient_;
  std::vector<std::unique_ptr<BlockRunner>> stages_;
};

}  // namespace lockstep::device::cpu
