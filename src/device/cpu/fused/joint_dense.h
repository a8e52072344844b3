#pragma once

#include <cstdint>
#include <vector>

#include "device/backend.h"
#include "device/cpu/block.h"
#include "device/cpu/fused/kernels.h"

namespace lockstep::device::cpu::fused {

/// The weight gradient of a dense layer, among those of a network.
class JointDense {
 public:
  /// `node` is of `network`, and a dense layer; all of these are computed by own kernels.
  JointDense(const Network& network, const Node& node);

  /// Floats of the slab.
  [[nodiscard]] Range range() const { return range_; }
  /// Floats a sample that layers before this one keep, and this one.
  [[nodiscard]] std::int64_t before() const { return before_; }
  [[nodiscard]] std::int64_t own() const { return kernel_.kept_floats(extents_); }

  /// From x, samples × in, and dy, samples × out, into a shard's memory for all layers.
  void keep(std::int64_t samples, const float* x, const float* dy, float* kept) const {
    kernel_.keep(extents_, samples, x, dy, kept + before_ * samples);
  }
  [[nodiscard]] std::int64_t pieces() const { return kernel_.pieces(extents_); }
  void add_up(std::int64_t piece, std::span<const KeptShard> shards, float* slab) const {
    kernel_.add_up(extents_, before_, piece, shards, slab + range_.begin);
  }
  /// Into the slab of one shard: the same bits as among others. `kept` has room for own() floats a sample.
  void compute(std::int64_t samples, const float* x, const float* dy, float* kept, float* slab) const;

 private:
  DenseGradient kernel_;
  DenseExtents extents_;
  Range range_;
  std::int64_t before_ = 0;
};

/// All of a network; null if it has none.
std::unique_ptr<JointGradients> make_joint_gradients(const Network& network, ConvolutionMethod convolutions);

}  // namespace lockstep::device::cpu::fused
