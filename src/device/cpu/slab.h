#pragma once

#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "device/cpu/onednn.h"
#include "tensor/parameters.h"

/// How primitives meet the flat slabs.
namespace lockstep::device::cpu {

/// A weight tensor for a primitive: the slab itself where the primitive reads plain layouts, else a packed
/// copy.
class SlabWeights {
 public:
  SlabWeights() = default;
  SlabWeights(const dnnl::engine& engine, const Parameter& parameter, const Desc& wanted);
  void load(std::span<const float> slab);
  /// The same object for the life of this one: load() changes what it points to.
  [[nodiscard]] const dnnl::memory& memory() const { return packed_ ? packed_ : plain_; }
  [[nodiscard]] std::int64_t bytes() const { return static_cast<std::int64_t>(storage_.size()); }

 private:
  std::int64_t offset_ = 0;
  dnnl::memory plain_, packed_;
  AlignedBuffer<std::byte> storage_, scratch_;
  Call pack_;
};

/// A tensor of a gradient slab that changes from run to run.
class SlabGradient {
 public:
  SlabGradient() = default;
  SlabGradient(const dnnl::engine& engine, const Parameter& parameter);
  void point_into(float* slab);
  [[nodiscard]] const dnnl::memory& memory() const { return memory_; }

 private:
  std::int64_t offset_ = 0;
  dnnl::memory memory_;
};

/// The parameter's own layout.
Desc plain(const Parameter& parameter);

}  // namespace lockstep::device::cpu
