#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/partition.h"
#include "device/backend.h"
#include "device/cpu/fused/problem.h"

namespace lockstep::device::cpu::fused {

/// What a forward pass reads and writes.
struct Forward {
  const float* x = nullptr;
  const float* packed = nullptr;  ///< weights, from Method::pack
  const float* bias = nullptr;    ///< null for none
  float* y = nullptr;
  std::uint8_t* record = nullptr;  ///< null where no backward pass follows
  float* workspace = nullptr;      ///< aligned to 64 bytes, as are packed weights and record
};

struct Backward {
  const float* x = nullptr;
  const float* dy = nullptr;
  const std::uint8_t* record = nullptr;  ///< what forward left
  const float* packed = nullptr;
  float* dweight = nullptr;  ///< OIHW, overwritten
  float* dbias = nullptr;    ///< null for none
  float* dx = nullptr;       ///< null where it is not asked for
  float* workspace = nullptr;
};

/// One way to compute the block.
struct Method {
  Layout (*layout)(const Problem& problem, bool data_gradient);
  /// A piece of the weights from OIHW; different pieces on different threads if you like.
  void (*pack)(const Problem& problem, const Layout& layout, std::int64_t piece, const float* weights,
               float* packed);
  void (*forward)(const Problem& problem, const Layout& layout, const Forward& pass);
  void (*backward)(const Problem& problem, const Layout& layout, const Backward& pass);

  void pack_all(const Problem& problem, const Layout& layout, const float* weights, float* packed) const {
    for (std::int64_t piece = 0; piece < layout.packing_pieces; ++piece)
      pack(problem, layout, piece, weights, packed);
  }
};

/// A dense layer: its weights are out × in.
struct DenseExtents {
  std::int64_t in = 0, out = 0;
};

/// A shard's samples: a row for each in both matrices.
struct DenseShard {
  const float* from = nullptr;  ///< x, samples × in; of the data gradient dy, samples × out
  float* to = nullptr;          ///< y; dx
};

struct DensePass {
  std::span<const DenseShard> shards;  ///< any number of them: each part of the weights serves all in turn
  const float* weights = nullptr;      ///< as in the slab, or from DenseProduct::pack
  const float* bias = nullptr;         ///< null for none
  bool relu = false;                   ///< behind it
  float* workspace = nullptr;          ///< for DenseForward
};

/// Its forward pass from the weights as they lie in the slab: sixteen sums of each output.
struct DenseForward {
  /// Floats that it works in, for any number of shards and samples.
  std::int64_t (*workspace)(const DenseExtents& extents);
  /// Of shards of so many samples each.
  void (*compute)(const DenseExtents& extents, std::int64_t samples, const DensePass& pass);
};

/// Samples that share a pass over the weights: those of more, of one shard or several, are read once for each
/// so many. Their outputs stay in the second-level cache.
inline constexpr std::int64_t dense_rows = 64;

/// Its products with the weights: one sum of each output. Zeros of x and dy are left out.
struct DenseProduct {
  std::int64_t (*packed_floats)(const DenseExtents& extents);
  /// The weights are packed in so many pieces; different ones on different threads if you like.
  std::int64_t (*packing_pieces)(const DenseExtents& extents);
  void (*pack)(const DenseExtents& extents, std::int64_t piece, const float* weights, float* packed);
  /// The rows of W that a piece is packed from.
  Range (*packed_rows)(const DenseExtents& extents, std::int64_t piece);
  /// Of shards of so many samples each.
  void (*forward)(const DenseExtents& extents, std::int64_t samples, const DensePass& pass);
  /// dx = dy W, from the weights as they lie in the slab.
  void (*data_gradient)(const DenseExtents& extents, std::int64_t samples, std::span<const DenseShard> shards,
                        const float* weights);

  void pack_all(const DenseExtents& extents, const float* weights, float* packed) const {
    for (std::int64_t piece = 0; piece < packing_pieces(extents); ++piece)
      pack(extents, piece, weights, packed);
  }
};

/// Its weight gradient, of many shards at once.
struct DenseGradient {
  /// Floats that a shard keeps for each of its samples. The kernels of one instruction set only understand
  /// what they have kept themselves.
  std::int64_t (*kept_floats)(const DenseExtents& extents);
  /// From x, samples × in, and dy, samples × out.
  void (*keep)(const DenseExtents& extents, std::int64_t samples, const float* x, const float* dy,
               float* kept);
  /// Pieces of the weights that can be computed apart.
  std::int64_t (*pieces)(const DenseExtents& extents);
  /// See JointGradients, also for how many shards there may be. In the memory of each shard other layers have
  /// kept `before` floats a sample before this one.
  void (*add_up)(const DenseExtents& extents, std::int64_t before, std::int64_t piece,
                 std::span<const KeptShard> shards, float* dweight);
};

/// The kernels, compiled for one instruction set. All instruction sets give the same bits.
struct Kernels {
  const char* instruction_set;
  std::int64_t lanes;               ///< floats in a vector
  Method winograd2x3, winograd2x5;  ///< with tiles of 2×2 outputs
  Method winograd4x3, winograd4x5;  ///< with tiles of 4×4
  /// For few input channels; without a data gradient.
  Method direct3, direct5;

  /// `tile`: 2 or 4; `kernel`: 3 or 5.
  [[nodiscard]] const Method& winograd(std::int64_t tile, std::int64_t kernel) const {
    if (tile == 2) return kernel == 3 ? winograd2x3 : winograd2x5;
    return kernel == 3 ? winograd4x3 : winograd4x5;
  }
  [[nodiscard]] const Method& direct(std::int64_t kernel) const { return kernel == 3 ? direct3 : direct5; }
  DenseForward dense_forward;
  DenseProduct dense_product;
  DenseGradient dense_gradient;
};

/// Those for the best instruction set that this processor has and oneDNN keeps to (pin_instruction_set()),
/// which must have been decided by then.
const Kernels& kernels();
/// Those for each instruction set that this processor has, for tests; the last is the one without vectors
/// (or with the least), where fused multiply-adds are computed one by one.
std::vector<Kernels> all_kernels();

}  // namespace lockstep::device::cpu::fused
