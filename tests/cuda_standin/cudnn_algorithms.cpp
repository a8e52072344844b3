#include "cudnn_algorithms.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "runtime.h"

namespace lockstep::standin {
namespace {

using Kind = Algorithm::Kind;

constexpr std::array forward_algorithms = {
    Algorithm{CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, Kind::implicit, true, false},
    Algorithm{CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, Kind::precomputed, true, true},
    Algorithm{CUDNN_CONVOLUTION_FWD_ALGO_GEMM, Kind::gemm, true, false},
    Algorithm{CUDNN_CONVOLUTION_FWD_ALGO_DIRECT, Kind::none, true, false},
    Algorithm{CUDNN_CONVOLUTION_FWD_ALGO_FFT, Kind::fft, true, false},
    Algorithm{CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING, Kind::fft_tiling, true, false},
    Algorithm{CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD, Kind::winograd, true, false},
    Algorithm{CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED, Kind::winograd_nonfused, true, true},
};
constexpr std::array data_algorithms = {
    Algorithm{CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, Kind::implicit, false, false},
    Algorithm{CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, Kind::precomputed, true, true},
    Algorithm{CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT, Kind::fft, true, false},
    Algorithm{CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING, Kind::fft_tiling, true, false},
    Algorithm{CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD, Kind::winograd, true, false},
    Algorithm{CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED, Kind::winograd_nonfused, true, true},
};
constexpr std::array filter_algorithms = {
    Algorithm{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, Kind::implicit, false, false},
    Algorithm{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, Kind::precomputed, true, true},
    Algorithm{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT, Kind::fft, true, false},
    Algorithm{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3, Kind::gemm, false, false},
    Algorithm{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD, Kind::none, true, false},
    Algorithm{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED, Kind::winograd_nonfused, true, true},
    Algorithm{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING, Kind::fft_tiling, true, false},
};

bool is_second_model() {
  return setting("cudnn_model") == "2";
}
/// What its FFT takes at least: more than most callers want to give.
constexpr std::size_t second_model_fft = (std::size_t{64} << 20U) + 1024;

std::span<const Algorithm> algorithms(Direction direction) {
  if (direction == Direction::forward) return forward_algorithms;
  if (direction == Direction::data) return data_algorithms;
  return filter_algorithms;
}

bool supports(const Algorithm& algorithm, Direction direction, const Convolution& shape) {
  // The tables' entries for bfloat16 data.
  if (shape.type == CUDNN_DATA_BFLOAT16)
    return algorithm.kind == Kind::precomputed ||
           (direction != Direction::forward && !algorithm.deterministic);
  const bool unit_stride = shape.stride == std::array{1, 1};
  const bool dense = shape.dilation == std::array{1, 1};
  const bool square3 = shape.r == 3 && shape.s == 3;
  const bool square5 = shape.r == 5 && shape.s == 5;
  const bool exceeds_padding = shape.r > shape.padding[0] && shape.s > shape.padding[1];
  switch (algorithm.kind) {
    case Kind::implicit:
    case Kind::precomputed:
      return true;
    case Kind::gemm:
      return dense;
    case Kind::fft:
      return unit_stride && dense && exceeds_padding && shape.h + 2 * shape.padding[0] <= 256 &&
             shape.w + 2 * shape.padding[1] <= 256;
    case Kind::fft_tiling:
      return unit_stride && dense && exceeds_padding && shape.r <= 32 && shape.s <= 32;
    case Kind::winograd:
      return unit_stride && dense && square3;
    case Kind::winograd_nonfused:
      return unit_stride && dense && (square3 || square5);
    case Kind::none:
      break;
  }
  return false;
}

}  // namespace

cudnnStatus_t find(Direction direction, int number, const Convolution& shape, Algorithm& result) {
  const auto all = algorithms(direction);
  const auto found = std::ranges::find(all, number, &Algorithm::number);
  if (found == all.end()) return CUDNN_STATUS_BAD_PARAM;
  if (!supports(*found, direction, shape)) return CUDNN_STATUS_NOT_SUPPORTED;
  result = *found;
  return CUDNN_STATUS_SUCCESS;
}

std::vector<Algorithm> ranked(Direction direction) {
  static constexpr std::array first_model = {Kind::winograd,   Kind::implicit, Kind::precomputed,
                                             Kind::gemm,       Kind::fft,      Kind::winograd_nonfused,
                                             Kind::fft_tiling, Kind::none};
  static constexpr std::array second_model = {
      Kind::winograd_nonfused, Kind::implicit, Kind::fft_tiling, Kind::gemm,
      Kind::precomputed,       Kind::winograd, Kind::fft,        Kind::none};
  const auto& order = is_second_model() ? second_model : first_model;
  const auto all = algorithms(direction);
  std::vector<Algorithm> result(all.begin(), all.end());
  std::ranges::stable_sort(result, {}, [&](const Algorithm& algorithm) {
    return std::ranges::find(order, algorithm.kind) - order.begin();
  });
  return result;
}

std::size_t workspace_bytes(Direction direction, const Algorithm& algorithm, const Convolution& shape) {
  const auto bytes = [](std::int64_t floats) { return sizeof(float) * static_cast<std::size_t>(floats); };
  const auto spectra =
      (shape.h + shape.r) * (shape.w + shape.s) * (shape.n * shape.c + shape.n * shape.k + shape.k * shape.c);
  switch (algorithm.kind) {
    case Kind::precomputed:
      return direction == Direction::filter ? bytes(shape.w_count() + shape.taps())
                                            : bytes(shape.taps() + shape.positions());
    case Kind::gemm:
      return bytes(shape.taps() * shape.positions());
    case Kind::fft:
      return is_second_model() ? std::max(bytes(2 * spectra), second_model_fft) : bytes(2 * spectra);
    case Kind::fft_tiling:
      return bytes(spectra);
    case Kind::winograd:
      return bytes(16 * shape.k * shape.c);
    case Kind::winograd_nonfused:
      return bytes(36 * (shape.k * shape.c + shape.n * (shape.c + shape.k) * (shape.positions() / 4 + 1)));
    case Kind::implicit:
    case Kind::none:
      break;
  }
  return 0;
}

Addition addition(Direction direction, const Algorithm& algorithm, std::int64_t terms) {
  // A gradient of weights adds up many terms, over images and places, others few: runs are short enough for
  // their number to differ between algorithms.
  const std::int64_t unit = direction == Direction::filter ? 12 : direction == Direction::forward ? 2 : 1;
  Addition result{.run = unit * (1 + static_cast<int>(algorithm.kind)), .order = {}};
  if (!algorithm.deterministic) {
    // As if each sum were added to memory when a block of threads has it.
    result.run = unit;
    result.order.resize(static_cast<std::size_t>(result.runs(terms)));
    std::iota(result.order.begin(), result.order.end(), 0);
    for (std::size_t left = result.order.size(); left > 1; --left)
      std::swap(result.order[left - 1], result.order[draw() % left]);
  }
  return result;
}

}  // namespace lockstep::standin
