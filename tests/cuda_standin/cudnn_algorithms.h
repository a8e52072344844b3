#pragma once

#include <span>
#include <string>
#include <vector>

#include "cudnn_types.h"
#include "product.h"

namespace lockstep::standin {

enum class Direction : std::uint8_t { forward, data, filter };

/// A way to compute a convolution, with the limits that cuDNN's documentation states. All of them compute the
/// same sums here; what differs is the order of additions, the workspace, and what they refuse.
struct Algorithm {
  enum class Kind : std::uint8_t {
    implicit,
    precomputed,
    gemm,
    fft,
    fft_tiling,
    winograd,
    winograd_nonfused,
    none
  };
  int number;  ///< the value of the vendor's enum
  Kind kind;
  bool deterministic;
  bool tensor_cores;  ///< uses them where the math type allows it
};

/// CUDNN_STATUS_BAD_PARAM if there is no such number, CUDNN_STATUS_NOT_SUPPORTED if it does not do this.
cudnnStatus_t find(Direction direction, int number, const Convolution& shape, Algorithm& result);

/// All of them, those first that a GPU of this model would be fastest with (a made-up order; the setting
/// cudnn_model=2 makes up another), whether they support the convolution or not.
std::vector<Algorithm> ranked(Direction direction);

std::size_t workspace_bytes(Direction direction, const Algorithm& algorithm, const Convolution& shape);

/// How it adds up `terms` terms; another way each time if it is not deterministic.
Addition addition(Direction direction, const Algorithm& algorithm, std::int64_t terms);

}  // namespace lockstep::standin
