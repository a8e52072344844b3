#include "device/cuda/divide.h"
#include "device/cuda/image_copies.h"
#include "device/cuda/launch.h"

namespace lockstep::device::cuda {
namespace {

__device__ void store(float value, float& to) {
  to = value;
}
__device__ void store(float value, Bfloat16& to) {
  to = to_bfloat16(value);
}

template <class To>
struct Pad {
  Frame frame;
  const float* from;
  To* to;

  __device__ void operator()(std::int64_t i) const {
    const auto [line, padded_column] = divide(i, frame.padded_width);
    const auto [plane, padded_row] = divide(line, frame.padded_height);
    const std::int64_t row = padded_row - frame.top;
    const std::int64_t column = padded_column - frame.left;
    const bool inside = row >= 0 && row < frame.height && column >= 0 && column < frame.width;
    store(inside ? from[(plane * frame.height + row) * frame.width + column] : 0, to[i]);
  }
};

template <class From>
struct Crop {
  Frame frame;
  const From* from;
  float* to;

  __device__ void operator()(std::int64_t i) const {
    const auto [line, column] = divide(i, frame.width);
    const auto [plane, row] = divide(line, frame.height);
    const std::int64_t padded_line = plane * frame.padded_height + row + frame.top;
    to[i] = to_float(from[padded_line * frame.padded_width + column + frame.left]);
  }
};

template <class From, class To>
struct Convert {
  const From* from;
  To* to;

  __device__ void operator()(std::int64_t i) const { store(to_float(from[i]), to[i]); }
};

}  // namespace

void pad(cudaStream_t stream, const Frame& frame, const float* from, float* to) {
  launch_n(stream, frame.padded_cells(), Pad<float>{frame, from, to});
}
void pad(cudaStream_t stream, const Frame& frame, const float* from, Bfloat16* to) {
  launch_n(stream, frame.padded_cells(), Pad<Bfloat16>{frame, from, to});
}

void crop(cudaStream_t stream, const Frame& frame, const float* from, float* to) {
  launch_n(stream, frame.cells(), Crop<float>{frame, from, to});
}
void crop(cudaStream_t stream, const Frame& frame, const Bfloat16* from, float* to) {
  launch_n(stream, frame.cells(), Crop<Bfloat16>{frame, from, to});
}

void convert(cudaStream_t stream, std::int64_t count, const float* from, Bfloat16* to) {
  launch_n(stream, count, Convert<float, Bfloat16>{from, to});
}
void convert(cudaStream_t stream, std::int64_t count, const Bfloat16* from, float* to) {
  launch_n(stream, count, Convert<Bfloat16, float>{from, to});
}

}  // namespace lockstep::device::cuda
