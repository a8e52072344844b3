#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "device/accelerator.h"
#include "device/cuda/launch.h"
#include "device/cuda/stream.h"

namespace lockstep::testing {

/// An accelerator on the stand-in whose memory fails once, by itself: no fault of the experiment's, which
/// would be told to the replica. Of the first array of `floats` floats that it hashes, one bit flips just
/// before the `time`-th of its hashes.
class FlippingAccelerator final : public device::Accelerator {
 public:
  FlippingAccelerator(device::Accelerator& inner, std::int64_t floats, int time, std::int64_t element)
      : inner_(inner),
        floats_(floats),
        element_(element),
        countdown_(inner.make_array<std::int32_t>(1)),
        start_(inner.make_pinned<std::int32_t>(1)) {
    start_.span()[0] = time;
    const auto stream = inner.make_stream();
    device::copy_in<std::int32_t>(*stream, countdown_.span(), start_.span());
    stream->synchronize();
  }

  const device::DeviceFacts& facts() const override { return inner_.facts(); }
  std::string describe() const override { return inner_.describe(); }
  std::unique_ptr<device::Memory> allocate(std::int64_t bytes) override { return inner_.allocate(bytes); }
  std::unique_ptr<device::Memory> allocate_pinned(std::int64_t bytes) override {
    return inner_.allocate_pinned(bytes);
  }
  std::unique_ptr<device::Stream> make_stream() override { return inner_.make_stream(); }
  std::unique_ptr<device::DevicePlan> plan(const device::Network& network, std::int64_t samples,
                                           device::Mode mode, const std::string& choices) override {
    return inner_.plan(network, samples, mode, choices);
  }
  std::shared_ptr<device::DeviceLane> make_lane() override { return inner_.make_lane(); }
  void gather(device::Stream& stream, const device::StoredSamples& stored,
              device::DeviceSpan<const std::int64_t> positions, device::DeviceSpan<const AffineMap> maps,
              float scale, device::DeviceSpan<float> images,
              device::DeviceSpan<std::int32_t> labels) override {
    inner_.gather(stream, stored, positions, maps, scale, images, labels);
  }
  void sum(device::Stream& stream, std::span<const device::DeviceSpan<const float>> partials,
           std::span<const device::TreeAddition> additions, device::DeviceSpan<float> sum) override {
    inner_.sum(stream, partials, additions, sum);
  }
  void mean(device::Stream& stream, std::span<const device::DeviceSpan<const float>> partials,
            std::span<const device::TreeAddition> additions,
            device::DeviceSpan<const device::UpdateArguments> arguments,
            device::DeviceSpan<float> mean) override {
    inner_.mean(stream, partials, additions, arguments, mean);
  }
  void sgd_update(device::Stream& stream, device::DeviceSpan<const device::UpdateArguments> arguments,
                  device::DeviceSpan<float> weights, device::DeviceSpan<const float> gradient,
                  device::DeviceSpan<float> velocity, bool momentum,
                  device::DeviceSpan<std::uint32_t> not_finite) override {
    inner_.sgd_update(stream, arguments, weights, gradient, velocity, momentum, not_finite);
  }
  void adamw_update(device::Stream& stream, device::DeviceSpan<const device::UpdateArguments> arguments,
                    device::DeviceSpan<float> weights, device::DeviceSpan<const float> gradient,
                    device::DeviceSpan<float> moment1, device::DeviceSpan<float> moment2,
                    device::DeviceSpan<std::uint32_t> not_finite) override {
    inner_.adamw_update(stream, arguments, weights, gradient, moment1, moment2, not_finite);
  }
  void take_weights(device::Stream& stream, device::DeviceSpan<const device::UpdateArguments> arguments,
                    device::DeviceSpan<const float> gathered, device::DeviceSpan<float> weights) override {
    inner_.take_weights(stream, arguments, gathered, weights);
  }
  void find(device::Stream& stream, const device::StepEvidence& evidence,
            device::DeviceSpan<device::StepFindings> findings) override {
    inner_.find(stream, evidence, findings);
  }
  void decide(device::Stream& stream, device::DeviceSpan<const device::StepFindings> of_ranks,
              device::WeightsOwner owner, device::DeviceSpan<std::uint32_t> halted,
              device::DeviceSpan<device::UpdateArguments> arguments) override {
    inner_.decide(stream, of_ranks, owner, halted, arguments);
  }
  void hash_blocks(device::Stream& stream, device::DeviceSpan<const float> values, std::uint64_t first_seed,
                   device::DeviceSpan<std::uint64_t> hashes) override {
    if (values.count == floats_ && array_ == nullptr) array_ = values.data;
    if (values.count == floats_ && values.data == array_)
      device::cuda::launch_n(device::cuda::native(stream), 1,
                             Flip{const_cast<float*>(values.data) + element_, countdown_.span().data});
    inner_.hash_blocks(stream, values, first_seed, hashes);
  }

 private:
  struct Flip {
    float* value;
    std::int32_t* countdown;
    void operator()(std::int64_t /*i*/) const {
      constexpr std::uint32_t bit = 1U << 22U;
      if (--*countdown == 0) *value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(*value) ^ bit);
    }
  };

  device::Accelerator& inner_;
  std::int64_t floats_, element_;
  const float* array_ = nullptr;
  device::DeviceArray<std::int32_t> countdown_;
  device::PinnedArray<std::int32_t> start_;
};

}  // namespace lockstep::testing
