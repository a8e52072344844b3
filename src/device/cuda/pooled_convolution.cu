#include "device/cuda/pooled_convolution.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "device/cuda/block_reduce.h"
#include "device/cuda/divide.h"
#include "device/cuda/launch.h"
#include "device/cuda/libraries.h"
#include "device/elementwise_math.h"

// The first layers of a network for pictures, in which cuDNN is slow: with one to four input channels there
// is little to reuse, and ReLU and pooling would each read and write again what is larger than anything else
// in the network.
//
// A thread computes the four outputs of one pooling window for eight channels, from a patch of the picture in
// registers, and ends with bias, ReLU and maximum. What stays for the backward pass is a byte for each
// window: which of the four won, or that none did. A window hands its gradient to one output only, so the
// weights' gradient is a sum over windows, not over outputs: a thread has one weight, and walks over the
// windows of one picture. (The CPU's direct kernels do the same, cpu/fused/.) There is no gradient of the
// pictures.
//
// Fused multiply-adds throughout: these are sums of products, in an order that depends on extents only.
namespace lockstep::device::cuda {
namespace {

constexpr int window_outputs = 4;
/// Instead of a winner's number, where the ReLU let nothing through.
constexpr std::uint8_t no_winner = window_outputs;

constexpr std::int64_t most_channels = 4;
/// A picture with its padding lies in shared memory as a whole, and leaves room there for several blocks at a
/// time.
constexpr std::int64_t most_picture_bytes = 16 * 1024;
/// Of the gradients that each picture has of its own.
constexpr std::int64_t most_sums_bytes = 64 << 20;

struct Geometry {
  int in_channels, in_height, in_width;
  int out_channels;
  int pad_top, pad_left;
  int rows, columns;  ///< of a picture with its padding
  int window_rows, window_columns;

  Geometry(const Conv2dOp& op, const Pool2dOp& pool)
      : in_channels(narrow(op.in_channels)),
        in_height(narrow(op.in_height)),
        in_width(narrow(op.in_width)),
        out_channels(narrow(op.out_channels)),
        pad_top(narrow(op.pad_top)),
        pad_left(narrow(op.pad_left)),
        rows(narrow(op.in_height + op.pad_top + op.pad_bottom)),
        columns(narrow(op.in_width + op.pad_left + op.pad_right)),
        window_rows(narrow(pool.out_height)),
        window_columns(narrow(pool.out_width)) {}

  [[nodiscard]] __host__ __device__ int windows() const { return window_rows * window_columns; }
  /// Of a picture with its padding, rounded up so that what lies behind it is aligned to 16 bytes.
  [[nodiscard]] __host__ __device__ int picture_cells() const {
    return (in_channels * rows * columns + 3) / 4 * 4;
  }
  /// Of a window's first output: where in the picture its first input lies.
  [[nodiscard]] __device__ int first_cell(int window) const {
    return 2 * (window / window_columns) * columns + 2 * (window % window_columns);
  }
  /// A thread's part of copying picture `image` of `x`, and zeros around it. False where it met infinity or
  /// NaN.
  __device__ bool load_picture(const float* x, std::int64_t image, float* picture, int thread,
                               int threads) const {
    const float* const from = x + image * in_channels * in_height * in_width;
    float zero = 0;
    for (int cell = thread; cell < in_channels * rows * columns; cell += threads) {
      const int line = cell / columns;
      const int column = cell % columns - pad_left;
      const int row = line % rows - pad_top;
      const bool inside = row >= 0 && row < in_height && column >= 0 && column < in_width;
      const float value = inside ? from[(line / rows * in_height + row) * in_width + column] : 0;
      picture[cell] = value;
      zero += 0 * value;
    }
    return zero == 0;
  }
};

/// Channels that a thread computes at once.
constexpr int thread_channels = 8;

template <int kernel>
struct Forward {
  Geometry geometry;
  int groups;  ///< of channels
  const float* x;
  const float* weight;
  const float* bias;  ///< null for none
  float* y;
  std::uint8_t* winners;  ///< null where none are asked for

  /// One weight of each of a thread's channels.
  struct alignas(16) Tap {
    float of[thread_channels];
  };

  [[nodiscard]] __host__ __device__ int taps() const { return geometry.in_channels * kernel * kernel; }
  [[nodiscard]] std::size_t shared_bytes() const {
    return static_cast<std::size_t>(geometry.picture_cells()) * sizeof(float) +
           static_cast<std::size_t>(taps()) * sizeof(Tap);
  }

  /// A block has one group of channels of one picture.
  __device__ void operator()(const Block& block) const {
    const auto [image, group] = divide(block.index(), groups);
    const int first = static_cast<int>(group) * thread_channels;
    float* const picture = block.shared<float>();
    Tap* const filters = reinterpret_cast<Tap*>(picture + geometry.picture_cells());
    block.for_each_thread([&, image = image](int thread) {
      static_cast<void>(geometry.load_picture(x, image, picture, thread, block.threads()));
      for (int i = thread; i < taps() * thread_channels; i += block.threads()) {
        const int channel = i / taps();
        const bool exists = first + channel < geometry.out_channels;
        filters[i % taps()].of[channel] = exists ? weight[first * taps() + i] : 0;
      }
    });
    block.for_each_thread([&, image = image](int thread) {
      for (int window = thread; window < geometry.windows(); window += block.threads())
        compute(picture, filters, image, first, window);
    });
  }

  __device__ void compute(const float* picture, const Tap* filters, std::int64_t image, int first,
                          int window) const {
    constexpr int side = kernel + 1;  // of the patch under a window
    float sums[window_outputs][thread_channels] = {};
    for (int channel = 0; channel < geometry.in_channels; ++channel) {
      const float* const corner =
          picture + channel * geometry.rows * geometry.columns + geometry.first_cell(window);
      float patch[side][side];
      for (int row = 0; row < side; ++row)
        for (int column = 0; column < side; ++column)
          patch[row][column] = corner[row * geometry.columns + column];
      for (int row = 0; row < kernel; ++row)
        for (int column = 0; column < kernel; ++column) {
          const Tap tap = filters[(channel * kernel + row) * kernel + column];
          for (int output = 0; output < window_outputs; ++output)
            for (int i = 0; i < thread_channels; ++i)
              sums[output][i] =
                  std::fma(tap.of[i], patch[row + output / 2][column + output % 2], sums[output][i]);
        }
    }
    for (int i = 0; i < thread_channels; ++i) {
      const int channel = first + i;
      if (channel >= geometry.out_channels) break;
      const float b = bias == nullptr ? 0 : bias[channel];
      // As MaxForward in pooling.cu: the first of equal ones, and NaN before anything.
      float greatest = sums[0][i] + b;
      std::uint8_t winner = 0;
      for (int output = 1; output < window_outputs; ++output) {
        const float value = sums[output][i] + b;
        const bool first_nan = value != value && greatest == greatest;
        if (!(value > greatest) && !first_nan) continue;
        greatest = value;
        winner = static_cast<std::uint8_t>(output);
      }
      const std::int64_t place = (image * geometry.out_channels + channel) * geometry.windows() + window;
      y[place] = relu(greatest);
      if (winners != nullptr) winners[place] = greatest <= 0 ? no_winner : winner;
    }
  }
};

constexpr int gradient_threads = 256;
/// Windows that are looked up at a time.
constexpr int most_windows = 256;

/// The gradients of weights and biases, of each picture alone.
struct Gradients {
  Geometry geometry;
  int kernel;
  bool has_bias;
  int groups, group_channels;  ///< channels in equal parts, so that a thread has at most one gradient
  int windows_at_once;
  std::int64_t images;
  const float* x = nullptr;
  const float* dy = nullptr;
  const std::uint8_t* winners = nullptr;
  float* sums = nullptr;  ///< out_channels × outputs × images

  /// A window's gradient, and where in the picture the first input of its winner lies. Without a winner the
  /// gradient is zero, and the place any.
  struct Staged {
    float dy;
    int cell;
  };
  /// What the threads of a block share, before the picture and the windows.
  struct Shared {
    float totals[gradient_threads];
    /// The picture holds an infinity or NaN. Outputs that did not win have a gradient of zero, and zero times
    /// that is NaN: all of this picture's gradients of weights are then, more than need be.
    alignas(16) std::uint32_t spoilt;
  };

  Gradients(const Geometry& of, int kernel_size, bool bias, std::int64_t samples)
      : geometry(of), kernel(kernel_size), has_bias(bias), images(samples) {
    groups = (geometry.out_channels - 1) / (gradient_threads / outputs()) + 1;
    group_channels = (geometry.out_channels - 1) / groups + 1;
    const std::size_t room = max_shared_bytes - sizeof(Shared) - picture_bytes();
    const auto fit = static_cast<int>(room / sizeof(Staged)) / group_channels;
    windows_at_once = std::min({fit, geometry.windows(), most_windows});
  }

  /// Gradients of a channel: of its weights, and behind them of its bias.
  [[nodiscard]] __host__ __device__ int outputs() const { return taps() + (has_bias ? 1 : 0); }
  [[nodiscard]] __host__ __device__ int taps() const { return geometry.in_channels * kernel * kernel; }
  [[nodiscard]] std::size_t picture_bytes() const {
    return static_cast<std::size_t>(geometry.picture_cells()) * sizeof(float);
  }
  [[nodiscard]] std::size_t shared_bytes() const {
    return sizeof(Shared) + picture_bytes() +
           static_cast<std::size_t>(group_channels) * static_cast<std::size_t>(windows_at_once) *
               sizeof(Staged);
  }

  /// A block has one group of channels of one picture.
  __device__ void operator()(const Block& block) const {
    const auto [image, group] = divide(block.index(), groups);
    const int first = static_cast<int>(group) * group_channels;
    const int rest = geometry.out_channels - first;
    const int channels = rest < group_channels ? rest : group_channels;
    Shared& shared = *block.shared<Shared>();
    float* const picture = reinterpret_cast<float*>(&shared + 1);
    Staged* const staged = reinterpret_cast<Staged*>(picture + geometry.picture_cells());
    block.for_each_thread([&](int thread) {
      shared.totals[thread] = 0;
      if (thread == 0) shared.spoilt = 0;
    });
    block.for_each_thread([&, image = image](int thread) {
      // Several threads may set it: they all write the same.
      if (!geometry.load_picture(x, image, picture, thread, block.threads())) shared.spoilt = 1;
    });
    for (int begin = 0; begin < geometry.windows(); begin += windows_at_once) {
      const int left = geometry.windows() - begin;
      const int count = left < windows_at_once ? left : windows_at_once;
      block.for_each_thread([&, image = image](int thread) {
        for (int i = thread; i < channels * count; i += block.threads())
          staged[i] = look_up(image, first + i / count, begin + i % count);
      });
      block.for_each_thread([&](int thread) {
        if (thread < channels * outputs())
          shared.totals[thread] = add(picture, staged + thread / outputs() * count, count, thread % outputs(),
                                      shared.totals[thread]);
      });
    }
    block.for_each_thread([&, image = image](int thread) {
      if (thread >= channels * outputs()) return;
      float total = shared.totals[thread];
      if (shared.spoilt != 0 && thread % outputs() < taps()) total = NAN;
      sums[(static_cast<std::int64_t>(first) * outputs() + thread) * images + image] = total;
    });
  }

  [[nodiscard]] __device__ Staged look_up(std::int64_t image, int channel, int window) const {
    const std::int64_t place = (image * geometry.out_channels + channel) * geometry.windows() + window;
    const int winner = winners[place];
    if (winner == no_winner) return {0, 0};
    return {dy[place], geometry.first_cell(window) + winner / 2 * geometry.columns + winner % 2};
  }

  /// `total` and what some windows give to an output.
  [[nodiscard]] __device__ float add(const float* picture, const Staged* windows, int count, int output,
                                     float total) const {
    if (output == taps()) {
      for (int i = 0; i < count; ++i) total += windows[i].dy;
      return total;
    }
    const int channel = output / (kernel * kernel);
    const int row = output / kernel % kernel;
    const float* const tap = picture + (channel * geometry.rows + row) * geometry.columns + output % kernel;
    for (int i = 0; i < count; ++i) total = std::fma(windows[i].dy, tap[windows[i].cell], total);
    return total;
  }
};

/// Adds up the pictures. A block has one output.
struct AddPictures {
  const float* sums;
  std::int64_t images;
  int outputs, taps;
  float* weight_gradient;
  float* bias_gradient;

  __device__ void operator()(const Block& block) const {
    const float* const terms = sums + block.index() * images;
    const float total = sum<float>(block, images, [&](std::int64_t i) { return terms[i]; });
    block.for_each_thread([&](int thread) {
      if (thread > 0) return;
      const auto [channel, output] = divide(block.index(), outputs);
      if (output == taps)
        bias_gradient[channel] = total;
      else
        weight_gradient[channel * taps + output] = total;
    });
  }
};

class PooledConvolution final : public Layer {
 public:
  PooledConvolution(const Conv2dOp& op, const Site& site)
      : geometry_(op, *site.pool),
        kernel_(narrow(op.kernel_width)),
        samples_(site.samples),
        weight_(site.parameter(op.weight)),
        gradients_(geometry_, kernel_, op.bias >= 0, site.samples) {
    if (op.bias >= 0) bias_ = site.parameter(op.bias);
    contract_.implementations = {"own", "fused", "fused"};
    if (!site.backward) return;
    winners_ = contract_.add_buffer(samples_ * geometry_.out_channels * geometry_.windows(), Life::whole);
    sums_ = contract_.add_buffer(
        samples_ * geometry_.out_channels * gradients_.outputs() * static_cast<std::int64_t>(sizeof(float)),
        Life::backward);
    contract_.backward_reads_src = true;
    contract_.gradients.push_back(op.weight);
    if (bias_) contract_.gradients.push_back(op.bias);
  }

  void forward(const Run& run) const override {
    if (kernel_ == 3)
      forward<3>(run);
    else
      forward<5>(run);
  }

  void backward(const Run& run) const override {
    Gradients gradients = gradients_;
    gradients.x = run.src;
    gradients.dy = run.diff_dst;
    gradients.winners = run.buffer<std::uint8_t>(winners_);
    gradients.sums = run.buffer<float>(sums_);
    launch_blocks(run.stream, samples_ * gradients.groups, gradient_threads, gradients.shared_bytes(),
                  gradients);
    const int threads = reduction_threads(samples_);
    launch_blocks(run.stream, std::int64_t{geometry_.out_channels} * gradients.outputs(), threads,
                  static_cast<std::size_t>(threads) * sizeof(float),
                  AddPictures{gradients.sums, samples_, gradients.outputs(), gradients.taps(),
                              run.gradient_of(weight_), bias_ ? run.gradient_of(*bias_) : nullptr});
  }

 private:
  template <int kernel>
  void forward(const Run& run) const {
    const int groups = (geometry_.out_channels - 1) / thread_channels + 1;
    const int warps = (geometry_.windows() - 1) / 32 + 1;
    const int threads = std::min(32 * warps, max_block_threads);
    const Forward<kernel> f{geometry_,
                            groups,
                            run.src,
                            run.weight(weight_),
                            bias_ ? run.weight(*bias_) : nullptr,
                            run.dst,
                            run.buffer<std::uint8_t>(winners_)};
    launch_blocks(run.stream, samples_ * groups, threads, f.shared_bytes(), f);
  }

  Geometry geometry_;
  int kernel_;
  std::int64_t samples_;
  Parameter weight_;
  std::optional<Parameter> bias_;
  Gradients gradients_;  ///< without addresses
  int winners_ = -1, sums_ = -1;
};

bool pools_by_two(const Pool2dOp& pool) {
  return pool.kind == Pool2dOp::Kind::max && pool.size_height == 2 && pool.size_width == 2 &&
         pool.stride_height == 2 && pool.stride_width == 2 && pool.pad_top == 0 && pool.pad_left == 0 &&
         pool.out_height == pool.in_height / 2 && pool.out_width == pool.in_width / 2;
}

/// By extents and place alone, as all ranks must choose the same, and evaluation the same as training. In any
/// precision: it gains from nothing but fp32.
bool suits(const Conv2dOp& op, const Site& site) {
  const bool is_square = op.kernel_height == op.kernel_width && op.stride_height == 1 && op.stride_width == 1;
  if (!site.is_lowest || site.pool == nullptr || !pools_by_two(*site.pool) || !is_square ||
      (op.kernel_width != 3 && op.kernel_width != 5) || op.in_channels > most_channels)
    return false;
  const std::int64_t picture = op.in_channels * (op.in_height + op.pad_top + op.pad_bottom) *
                               (op.in_width + op.pad_left + op.pad_right);
  const std::int64_t gradients = op.out_channels * (op.in_channels * op.kernel_height * op.kernel_width + 1);
  constexpr auto bytes = static_cast<std::int64_t>(sizeof(float));
  return picture * bytes <= most_picture_bytes && site.samples * gradients * bytes <= most_sums_bytes;
}

}  // namespace

std::unique_ptr<Layer> make_pooled_convolution(const Conv2dOp& op, const Site& site) {
  if (!suits(op, site)) return nullptr;
  return std::make_unique<PooledConvolution>(op, site);
}

}  // namespace lockstep::device::cuda
