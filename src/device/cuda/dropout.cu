#include "base/philox.h"
#include "device/cuda/divide.h"
#include "device/cuda/launch.h"
#include "device/cuda/layer.h"
#include "device/elementwise_math.h"

namespace lockstep::device::cuda {
namespace {

/// Draws the same words in both passes rather than keeping them. In place if y is x.
struct Drop {
  RandomKey key;
  const std::int64_t* rows;
  const std::int64_t* epoch;
  std::int64_t count;     ///< elements of a sample
  std::int64_t quartets;  ///< of elements of a sample, the last of which may not be full
  std::uint32_t threshold;
  float divisor;
  const float* x;
  float* y;

  __device__ void operator()(std::int64_t i) const {
    const Division place = divide(i, quartets);
    const auto words =
        key.words(static_cast<std::uint32_t>(*epoch), static_cast<std::uint64_t>(rows[place.quotient]),
                  static_cast<std::uint32_t>(place.remainder));
    for (std::int64_t word = 0; word < 4; ++word) {
      const std::int64_t element = 4 * place.remainder + word;
      if (element >= count) return;
      const std::int64_t at = place.quotient * count + element;
      const bool kept = words[static_cast<std::size_t>(word)] >> 8U >= threshold;
      y[at] = kept ? x[at] / divisor : 0;
    }
  }
};

class Dropout final : public Layer {
 public:
  Dropout(const DropoutOp& op, const Site& site)
      : key_(site.network.seed, Purpose::dropout, op.stream),
        threshold_(dropout_threshold(op.rate)),
        divisor_(dropout_divisor(op.rate)),
        count_(op.count),
        samples_(site.samples) {
    const bool active = site.mode == Mode::training;
    contract_.dst_is_src = !active;
    contract_.implementations = {active ? "own" : "none"};
    contract_.data_gradient = contract_.diff_src_is_diff_dst = site.data_gradient;
  }

  void forward(const Run& run) const override {
    if (run.training)
      drop(run, run.src, run.dst);
    else if (!contract_.dst_is_src)
      call(cudaMemcpyAsync(run.dst, run.src, static_cast<std::size_t>(samples_ * count_) * sizeof(float),
                           cudaMemcpyDeviceToDevice, run.stream),
           "cudaMemcpyAsync");
  }

  void backward(const Run& run) const override { drop(run, run.diff_dst, run.diff_dst); }

 private:
  void drop(const Run& run, const float* x, float* y) const {
    const std::int64_t quartets = (count_ + 3) / 4;
    launch_n(
        run.stream, samples_ * quartets,
        Drop{key_, run.shard.rows.data, run.shard.epoch.data, count_, quartets, threshold_, divisor_, x, y});
  }

  RandomKey key_;
  std::uint32_t threshold_;
  float divisor_;
  std::int64_t count_, samples_;
};

}  // namespace

std::unique_ptr<Layer> make_layer(const DropoutOp& op, const Site& site) {
  return std::make_unique<Dropout>(op, site);
}

}  // namespace lockstep::device::cuda
