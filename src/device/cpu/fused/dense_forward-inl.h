// A dense layer's forward pass, y = x Wᵀ + b, perhaps with the ReLU behind it.
//
// W is out × in, as it lies in the slab: both factors run along `in`, so lanes are elements of the sums, not
// outputs, and nothing has to be transposed or packed. An output has sixteen sums, whatever the target:
// number l is the chain of fused multiply-adds over inputs l, l + 16, … These are added pairwise, neighbours
// first, ((0+1)+(2+3))+…, and the bias last. So neither the width of vectors nor the blocks show in the bits.
#if defined(LOCKSTEP_FUSED_DENSE_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_DENSE_FORWARD_INL_H_
#undef LOCKSTEP_FUSED_DENSE_FORWARD_INL_H_
#else
#define LOCKSTEP_FUSED_DENSE_FORWARD_INL_H_
#endif

#include <algorithm>

#include "base/partition.h"
#include "device/cpu/fused/kernels.h"
#include "device/cpu/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

class DenseForwards {
 public:
  static DenseForward method() { return {.workspace = workspace, .compute = compute}; }

 private:
  static constexpr std::int64_t sums = 16;  // of an output
  static constexpr int parts = static_cast<int>(sums / lanes);
  // Blocks of samples × outputs: as many sums as registers hold beside what they are made from.
  static constexpr int block_samples = 4;
  static constexpr int block_outputs = registers == 32 ? 4 : 1;
  /// Inputs at a time: those of a block's samples stay in the first-level cache while all outputs pass by.
  static constexpr std::int64_t chunk = 1024;

  /// Outputs whose weights stay in the second-level cache while all samples pass by.
  static std::int64_t group_outputs(const DenseExtents& extents) {
    constexpr std::int64_t cached = 65'536;  // floats
    constexpr std::int64_t most = 1024;      // of few inputs: the sums must fit, too
    const std::int64_t fitting = std::min(cached / extents.in / lanes * lanes, most);
    return std::clamp(fitting, lanes, round_up(extents.out, lanes));
  }

  static std::int64_t workspace(const DenseExtents& extents) {
    return block_samples * group_outputs(extents) * sums;
  }

  static void compute(const DenseExtents& extents, std::int64_t samples, const DensePass& pass) {
    const std::int64_t group = group_outputs(extents);
    for (std::int64_t first = 0; first < extents.out; first += group) {
      const Range outputs{first, std::min(first + group, extents.out)};
      for (const DenseShard& shard : pass.shards) {
        std::int64_t sample = 0;
        for (; sample + block_samples <= samples; sample += block_samples)
          compute_samples<block_samples>(extents, sample, outputs, pass, shard);
        for (; sample < samples; ++sample) compute_samples<1>(extents, sample, outputs, pass, shard);
      }
    }
  }

  /// The sums of sample s and output o of these come to workspace[(s * padded outputs + o) * sums].
  template <int kSamples>
  static void compute_samples(const DenseExtents& extents, std::int64_t sample, Range outputs,
                              const DensePass& pass, const DenseShard& shard) {
    const std::int64_t stride = round_up(outputs.size(), lanes) * sums;
    const float* const x = shard.from + sample * extents.in;
    const float* const weights = pass.weights + outputs.begin * extents.in;
    add_inputs<kSamples, true>(extents.in, {0, std::min(chunk, extents.in)}, outputs.size(), x, weights,
                               pass.workspace, stride);
    for (std::int64_t first = chunk; first < extents.in; first += chunk)
      add_inputs<kSamples, false>(extents.in, {first, std::min(first + chunk, extents.in)}, outputs.size(), x,
                                  weights, pass.workspace, stride);
    for (int s = 0; s < kSamples; ++s)
      finish(outputs.size(), pass.workspace + s * stride,
             pass.bias == nullptr ? nullptr : pass.bias + outputs.begin, pass.relu,
             shard.to + (sample + s) * extents.out + outputs.begin);
  }

  /// Of some inputs what they add to the sums of all outputs.
  template <int kSamples, bool kBegins>
  static void add_inputs(std::int64_t in, Range inputs, std::int64_t outputs, const float* x,
                         const float* weights, float* to, std::int64_t stride) {
    std::int64_t output = 0;
    for (; output + block_outputs <= outputs; output += block_outputs)
      compute_block<kSamples, block_outputs, kBegins>(in, inputs, x, weights + output * in,
                                                      to + output * sums, stride);
    for (; output < outputs; ++output)
      compute_block<kSamples, 1, kBegins>(in, inputs, x, weights + output * in, to + output * sums, stride);
  }

  /// Begins the sums, or goes on with those in `to`.
  template <int kSamples, int kOutputs, bool kBegins>
  static HWY_NOINLINE void compute_block(std::int64_t in, Range inputs, const float* HWY_RESTRICT x,
                                         const float* HWY_RESTRICT w, float* HWY_RESTRICT to,
                                         std::int64_t stride) {
    Vector<Full> sum[kSamples][kOutputs][parts];
    LOCKSTEP_UNROLL
    for (int s = 0; s < kSamples; ++s) {
      LOCKSTEP_UNROLL
      for (int o = 0; o < kOutputs; ++o) {
        LOCKSTEP_UNROLL
        for (int p = 0; p < parts; ++p)
          sum[s][o][p] =
              kBegins ? hn::Zero(Full()) : hn::LoadU(Full(), to + s * stride + o * sums + p * lanes);
      }
    }
    const auto add = [&](std::int64_t k, auto load_part) {
      LOCKSTEP_UNROLL
      for (int p = 0; p < parts; ++p) {
        Vector<Full> of_sample[kSamples];
        LOCKSTEP_UNROLL
        for (int s = 0; s < kSamples; ++s) of_sample[s] = load_part(x + s * in + k, p * lanes);
        LOCKSTEP_UNROLL
        for (int o = 0; o < kOutputs; ++o) {
          const Vector<Full> weights = load_part(w + o * in + k, p * lanes);
          LOCKSTEP_UNROLL
          for (int s = 0; s < kSamples; ++s) sum[s][o][p] = fma(Full(), of_sample[s], weights, sum[s][o][p]);
        }
      }
    };
    std::int64_t k = inputs.begin;
    for (; k + sums <= inputs.end; k += sums)
      add(k, [](const float* from, std::int64_t first) { return hn::LoadU(Full(), from + first); });
    if (k < inputs.end)
      add(k, [&](const float* from, std::int64_t first) {
        const std::int64_t left = inputs.end - k - first;
        return left > 0 ? load(Full(), from + first, left) : hn::Zero(Full());
      });
    LOCKSTEP_UNROLL
    for (int s = 0; s < kSamples; ++s) {
      LOCKSTEP_UNROLL
      for (int o = 0; o < kOutputs; ++o) {
        LOCKSTEP_UNROLL
        for (int p = 0; p < parts; ++p)
          hn::StoreU(sum[s][o][p], Full(), to + s * stride + o * sums + p * lanes);
      }
    }
  }

  /// From the sums of each output to outputs. Writes over the sums.
  static void finish(std::int64_t out, float* HWY_RESTRICT partial, const float* bias, bool relu,
                     float* HWY_RESTRICT y) {
    const std::int64_t padded = round_up(out, lanes);
    clear(partial + out * sums, (padded - out) * sums);
    for (std::int64_t width = sums; width > 1; width /= 2)
      for (std::int64_t i = 0; i < padded * width / 2; i += lanes) {
        Vector<Full> even, odd;
        hn::LoadInterleaved2(Full(), partial + 2 * i, even, odd);
        hn::StoreU(hn::Add(even, odd), Full(), partial + i);
      }
    for (std::int64_t o = 0; o < out; o += lanes) {
      const std::int64_t count = std::min(lanes, out - o);
      Vector<Full> v = hn::LoadU(Full(), partial + o);
      if (bias != nullptr) v = hn::Add(v, load(Full(), bias + o, count));
      // Not Max: NaN stays NaN.
      if (relu) v = hn::IfThenElse(hn::Lt(v, hn::Zero(Full())), hn::Zero(Full()), v);
      store(Full(), v, y + o, count);
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
