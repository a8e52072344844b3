#pragma once

#include <vector>

#include "device/cpu/fused/problem.h"
#include "device/cpu/onednn.h"

namespace lockstep {

/// The same block from oneDNN's primitives, in the layouts that these like best: convolution with bias and
/// ReLU, max-pool. Without a pool, the ReLU's backward pass is left out, to oneDNN's favour.
class OnednnBlock {
 public:
  OnednnBlock(const device::cpu::fused::Problem& problem, bool data_gradient);
  void forward() const;
  void backward() const;

 private:
  dnnl::memory memory(const device::cpu::Desc& desc);
  void add_pool(const device::cpu::fused::Problem& problem, const dnnl::memory& src);

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::vector<device::cpu::Call> forward_, backward_;
  dnnl::memory diff_conv_;  ///< the gradient of the convolution's output
};

}  // namespace lockstep
