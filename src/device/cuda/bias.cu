#include <algorithm>

#include "device/cuda/bias.h"
#include "device/cuda/block_reduce.h"
#include "device/cuda/divide.h"
#include "device/cuda/launch.h"
#include "device/elementwise_math.h"

namespace lockstep::device::cuda {
namespace {

template <class From>
struct AddBias {
  const From* x;
  const float* bias;
  float* y;
  std::int64_t channels, plane;
  bool applies_relu;

  __device__ void operator()(std::int64_t i) const {
    float value = to_float(x[i]);
    if (bias != nullptr) value += bias[divide(divide(i, plane).quotient, channels).remainder];
    y[i] = applies_relu ? relu(value) : value;
  }
};

struct MaskRelu {
  const float* y;
  float* gradient;

  __device__ void operator()(std::int64_t i) const {
    if (y[i] <= 0) gradient[i] = 0;
  }
};

/// A block adds one piece of one channel.
constexpr std::int64_t piece_size = 1024;

std::int64_t pieces_of(const Channels& channels) {
  return (channels.samples * channels.plane - 1) / piece_size + 1;
}

struct SumPieces {
  Channels extents;
  const float* y;
  float* gradient;
  std::int64_t pieces;
  float* sums;  ///< channels × pieces

  __device__ void operator()(const Block& block) const {
    const Division place = divide(block.index(), pieces);
    const std::int64_t channel = place.quotient;
    const std::int64_t first = place.remainder * piece_size;
    const std::int64_t rest = extents.samples * extents.plane - first;
    const std::int64_t count = rest < piece_size ? rest : piece_size;
    const float total = sum<float>(block, count, [&](std::int64_t i) { return element(channel, first + i); });
    block.for_each_thread([&](int thread) {
      if (thread == 0) sums[block.index()] = total;
    });
  }

  /// Element `i` of the channel's samples × plane.
  [[nodiscard]] __device__ float element(std::int64_t channel, std::int64_t i) const {
    const auto [sample, cell] = divide(i, extents.plane);
    const std::int64_t place = (sample * extents.channels + channel) * extents.plane + cell;
    if (y != nullptr && y[place] <= 0) {
      gradient[place] = 0;
      return 0;
    }
    return gradient[place];
  }
};

/// Adds the pieces of each channel, of which a block has one.
struct AddPieces {
  const float* sums;
  std::int64_t pieces;
  float* bias_gradient;

  __device__ void operator()(const Block& block) const {
    const float* const terms = sums + block.index() * pieces;
    const float total = sum<float>(block, pieces, [&](std::int64_t i) { return terms[i]; });
    block.for_each_thread([&](int thread) {
      if (thread == 0) bias_gradient[block.index()] = total;
    });
  }
};

/// The same where a channel is a column, as in a dense layer: neighbouring threads read neighbouring columns.
struct SumColumns {
  static constexpr int columns = 8, rows = 32;

  Channels extents;
  const float* y;
  float* gradient;
  float* bias_gradient;

  __device__ void operator()(const Block& block) const {
    float* const partial = block.shared<float>();
    block.for_each_thread([&](int thread) {
      const std::int64_t channel = block.index() * columns + thread % columns;
      float sum = 0;
      for (std::int64_t sample = thread / columns; sample < extents.samples && channel < extents.channels;
           sample += rows) {
        const std::int64_t place = sample * extents.channels + channel;
        if (y != nullptr && y[place] <= 0)
          gradient[place] = 0;
        else
          sum += gradient[place];
      }
      partial[thread] = sum;
    });
    block.for_each_thread([&](int thread) {
      const std::int64_t channel = block.index() * columns + thread;
      if (thread >= columns || channel >= extents.channels) return;
      float sum = 0;
      for (int row = 0; row < rows; ++row) sum += partial[row * columns + thread];
      bias_gradient[channel] = sum;
    });
  }
};

}  // namespace

void add_bias(cudaStream_t stream, const Channels& channels, const float* x, const float* bias, bool relu,
              float* y) {
  launch_n(stream, channels.count(), AddBias<float>{x, bias, y, channels.channels, channels.plane, relu});
}
void add_bias(cudaStream_t stream, const Channels& channels, const Bfloat16* x, const float* bias, bool relu,
              float* y) {
  launch_n(stream, channels.count(), AddBias<Bfloat16>{x, bias, y, channels.channels, channels.plane, relu});
}

void mask_relu(cudaStream_t stream, std::int64_t count, const float* y, float* gradient) {
  launch_n(stream, count, MaskRelu{y, gradient});
}

void sum_bias_gradient(cudaStream_t stream, const Channels& channels, const float* y, float* gradient,
                       float* scratch, float* bias_gradient) {
  const auto launch = [&](std::int64_t blocks, int threads, const auto& f) {
    launch_blocks(stream, blocks, threads, static_cast<std::size_t>(threads) * sizeof(float), f);
  };
  if (channels.plane == 1) {
    launch((channels.channels - 1) / SumColumns::columns + 1, SumColumns::columns * SumColumns::rows,
           SumColumns{channels, y, gradient, bias_gradient});
    return;
  }
  const std::int64_t pieces = pieces_of(channels);
  float* const sums = pieces == 1 ? bias_gradient : scratch;
  launch(channels.channels * pieces,
         reduction_threads(std::min(channels.samples * channels.plane, piece_size)),
         SumPieces{channels, y, gradient, pieces, sums});
  if (pieces > 1)
    launch(channels.channels, reduction_threads(pieces), AddPieces{sums, pieces, bias_gradient});
}

std::int64_t bias_gradient_scratch(const Channels& channels) {
  const std::int64_t pieces = pieces_of(channels);
  return pieces == 1 || channels.plane == 1 ? 0 : channels.channels * pieces;
}

}  // namespace lockstep::device::cuda
