#include <limits>

#include "base/check.h"
#include "device/cuda/divide.h"
#include "device/cuda/launch.h"
#include "device/cuda/layer.h"

namespace lockstep::device::cuda {
namespace {

/// The cells of a window along one axis, padding left out.
struct Extent {
  std::int64_t begin, end;
};

__device__ Extent cells_of(std::int64_t window, std::int64_t stride, std::int64_t size, std::int64_t padding,
                           std::int64_t cells) {
  const std::int64_t begin = window * stride - padding;
  const std::int64_t end = begin + size;
  return {begin < 0 ? 0 : begin, end > cells ? cells : end};
}

/// The windows that hold a cell.
__device__ Extent windows_of(std::int64_t cell, std::int64_t stride, std::int64_t size, std::int64_t padding,
                             std::int64_t windows) {
  const std::int64_t last = divide(cell + padding, stride).quotient;
  const std::int64_t before = cell + padding - size;  // the last cell at which a window begins in vain
  return {before < 0 ? 0 : divide(before, stride).quotient + 1, last + 1 > windows ? windows : last + 1};
}

/// A window's winner: its number within the plane.
constexpr std::int32_t no_winner = -1;

struct MaxForward {
  Pool2dOp op;
  const float* x;
  float* y;
  std::int32_t* winners;  ///< null where none are asked for
  bool masks_relu;

  __device__ void operator()(std::int64_t i) const {
    const Division line = divide(i, op.out_width);
    const Division plane = divide(line.quotient, op.out_height);
    const Extent rows = cells_of(plane.remainder, op.stride_height, op.size_height, op.pad_top, op.in_height);
    const Extent columns = cells_of(line.remainder, op.stride_width, op.size_width, op.pad_left, op.in_width);
    const float* const cells = x + plane.quotient * op.in_height * op.in_width;
    std::int64_t winner = rows.begin * op.in_width + columns.begin;
    float greatest = cells[winner];
    for (std::int64_t row = rows.begin; row < rows.end; ++row)
      for (std::int64_t column = columns.begin; column < columns.end; ++column) {
        const std::int64_t cell = row * op.in_width + column;
        const float value = cells[cell];
        const bool first_nan = value != value && greatest == greatest;
        if (!(value > greatest) && !first_nan) continue;
        greatest = value;
        winner = cell;
      }
    y[i] = greatest;
    if (winners != nullptr)
      winners[i] = masks_relu && greatest <= 0 ? no_winner : static_cast<std::int32_t>(winner);
  }
};

struct AverageForward {
  Pool2dOp op;
  const float* x;
  float* y;

  __device__ void operator()(std::int64_t i) const {
    const Division line = divide(i, op.out_width);
    const Division plane = divide(line.quotient, op.out_height);
    const Extent rows = cells_of(plane.remainder, op.stride_height, op.size_height, op.pad_top, op.in_height);
    const Extent columns = cells_of(line.remainder, op.stride_width, op.size_width, op.pad_left, op.in_width);
    const float* const cells = x + plane.quotient * op.in_height * op.in_width;
    float sum = 0;
    for (std::int64_t row = rows.begin; row < rows.end; ++row)
      for (std::int64_t column = columns.begin; column < columns.end; ++column)
        sum += cells[row * op.in_width + column];
    y[i] = sum / static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
  }
};

/// Each cell collects from the windows that hold it, in row-major order: no two threads write one place.
/// `winners` is null for a mean.
struct Backward {
  Pool2dOp op;
  const float* dy;
  const std::int32_t* winners;
  float* dx;

  __device__ void operator()(std::int64_t i) const {
    const Division line = divide(i, op.in_width);
    const Division plane = divide(line.quotient, op.in_height);
    const std::int64_t cell = plane.remainder * op.in_width + line.remainder;
    const Extent rows =
        windows_of(plane.remainder, op.stride_height, op.size_height, op.pad_top, op.out_height);
    const Extent columns =
        windows_of(line.remainder, op.stride_width, op.size_width, op.pad_left, op.out_width);
    float sum = 0;
    for (std::int64_t row = rows.begin; row < rows.end; ++row)
      for (std::int64_t column = columns.begin; column < columns.end; ++column) {
        const std::int64_t window = (plane.quotient * op.out_height + row) * op.out_width + column;
        if (winners == nullptr)
          sum += dy[window] / static_cast<float>(window_cells(row, column));
        else if (winners[window] == cell)
          sum += dy[window];
      }
    dx[i] = sum;
  }

  [[nodiscard]] __device__ std::int64_t window_cells(std::int64_t row, std::int64_t column) const {
    const Extent rows = cells_of(row, op.stride_height, op.size_height, op.pad_top, op.in_height);
    const Extent columns = cells_of(column, op.stride_width, op.size_width, op.pad_left, op.in_width);
    return (rows.end - rows.begin) * (columns.end - columns.begin);
  }
};

/// Whether windows are small and lie side by side, each within the plane: then no two hold one cell.
bool is_tiling(const Pool2dOp& op) {
  const auto tiles = [](std::int64_t size, std::int64_t stride, std::int64_t padding, std::int64_t windows,
                        std::int64_t cells) {
    return size == stride && padding == 0 && windows * size <= cells;
  };
  constexpr std::int64_t most_cells = 16;  // that one thread should write
  return op.size_height * op.size_width <= most_cells &&
         tiles(op.size_height, op.stride_height, op.pad_top, op.out_height, op.in_height) &&
         tiles(op.size_width, op.stride_width, op.pad_left, op.out_width, op.in_width);
}

/// The tiles of a plane along each axis. The last may hang over the edge, where no window is.
std::int64_t tiles_of(const Pool2dOp& op) {
  return ((op.in_height - 1) / op.size_height + 1) * ((op.in_width - 1) / op.size_width + 1);
}

/// The same as Backward (but for the sign of zeros) where windows are tiles: each thread writes the cells of
/// one of them.
struct BackwardOfTiles {
  Pool2dOp op;
  const float* dy;
  const std::int32_t* winners;
  float* dx;

  __device__ void operator()(std::int64_t i) const {
    const Division line = divide(i, divide(op.in_width - 1, op.size_width).quotient + 1);
    const Division plane = divide(line.quotient, divide(op.in_height - 1, op.size_height).quotient + 1);
    const bool is_window = plane.remainder < op.out_height && line.remainder < op.out_width;
    const std::int64_t window =
        (plane.quotient * op.out_height + plane.remainder) * op.out_width + line.remainder;
    const float gradient = is_window ? dy[window] : 0;
    const std::int64_t winner = is_window && winners != nullptr ? winners[window] : no_winner;
    const float share = gradient / static_cast<float>(op.size_height * op.size_width);
    const Extent rows = cells_of(plane.remainder, op.size_height, op.size_height, 0, op.in_height);
    const Extent columns = cells_of(line.remainder, op.size_width, op.size_width, 0, op.in_width);
    float* const cells = dx + plane.quotient * op.in_height * op.in_width;
    for (std::int64_t row = rows.begin; row < rows.end; ++row)
      for (std::int64_t column = columns.begin; column < columns.end; ++column) {
        const std::int64_t cell = row * op.in_width + column;
        cells[cell] = winners == nullptr ? share : cell == winner ? gradient : 0;
      }
  }
};

class Pooling final : public Layer {
 public:
  Pooling(const Pool2dOp& op, const Site& site)
      : op_(op),
        planes_(site.samples * op.channels),
        x_count_(planes_ * op.in_height * op.in_width),
        y_count_(planes_ * op.out_height * op.out_width),
        masks_relu_(site.masks_relu) {
    require_cells(op, site.node);
    check(op.in_height * op.in_width <= std::numeric_limits<std::int32_t>::max(),
          "the cells of a plane have numbers of 32 bits");
    contract_.data_gradient = site.data_gradient;
    if (is_max() && site.data_gradient)
      winners_ =
          contract_.add_buffer(y_count_ * static_cast<std::int64_t>(sizeof(std::int32_t)), Life::whole);
    contract_.implementations = {"own"};
  }

  void forward(const Run& run) const override {
    if (is_max())
      launch_n(run.stream, y_count_,
               MaxForward{op_, run.src, run.dst, run.buffer<std::int32_t>(winners_), masks_relu_});
    else
      launch_n(run.stream, y_count_, AverageForward{op_, run.src, run.dst});
  }

  void backward(const Run& run) const override {
    const std::int32_t* const winners = run.buffer<std::int32_t>(winners_);
    if (is_tiling(op_))
      launch_n(run.stream, planes_ * tiles_of(op_),
               BackwardOfTiles{op_, run.diff_dst, winners, run.diff_src});
    else
      launch_n(run.stream, x_count_, Backward{op_, run.diff_dst, winners, run.diff_src});
  }

 private:
  [[nodiscard]] bool is_max() const { return op_.kind == Pool2dOp::Kind::max; }

  Pool2dOp op_;
  std::int64_t planes_, x_count_, y_count_;
  bool masks_relu_;
  int winners_ = -1;
};

}  // namespace

std::unique_ptr<Layer> make_layer(const Pool2dOp& op, const Site& site) {
  return std::make_unique<Pooling>(op, site);
}

}  // namespace lockstep::device::cuda
