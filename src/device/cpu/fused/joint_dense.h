#pragma once

#include <cstdint>
#include <vector>

#include "device/backend.h"
#include "device/cpu/block.h"
#include "device/cpu/fused/kernels.h"

namespace lockstep::device::cpu::fused {

/// Whether a dense layer's weight gradients are computed for many shards at once. Smaller ones stay in the
/// caches, and a shard would have to keep more for them than they take.
bool is_joint(const DenseOp& op, ConvolutionMethod convolutions);

/// The weight gradient of a dense layer by own kernels, among those of a network: of many shards at once if
/// is_joint(), else of one at a time.
class JointDense {
 public:
  /// `node` is of `network`, and a dense layer.
  JointDense(const Network& network, const Node& node, ConvolutionMethod convolutions);

  [[nodiscard]] bool is_joint() const { return is_joint_; }

  /// Floats of the slab.
  [[nodiscard]] Range range() const { return range_; }
  /// Floats a sample that joint layers before this one keep, and this one.
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
  bool is_joint_;
  Range range_;
  std::int64_t before_ = 0;
};

/// All of a network; null if it has none.
std::unique_ptr<JointGradients> make_joint_gradients(const Network& network, ConvolutionMethod convolutions);

}  // namespace lockstep::device::cpu::fused
