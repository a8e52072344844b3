#pragma once

#include <memory>
#include <string>

#include "device/accelerator.h"
#include "host_stream.h"

namespace lockstep::testing {

struct HostAcceleratorOptions {
  int index = 0;
  std::string unique_id = "HOST-0";
  std::int64_t memory_bytes = std::int64_t{1} << 30;
};

/// An accelerator in plain host memory, which does everything at once, with the CPU backend's arithmetic: to
/// test what uses accelerators apart from them. Checks that copies go between the kinds of memory that they
/// are for, and that captures are closed.
class HostAccelerator final : public device::Accelerator {
 public:
  explicit HostAccelerator(HostAcceleratorOptions options = {});
  ~HostAccelerator() override;

  [[nodiscard]] const device::DeviceFacts& facts() const override { return facts_; }
  [[nodiscard]] std::string describe() const override { return "host accelerator"; }

  [[nodiscard]] std::unique_ptr<device::Memory> allocate(std::int64_t bytes) override;
  [[nodiscard]] std::unique_ptr<device::Memory> allocate_pinned(std::int64_t bytes) override;
  [[nodiscard]] std::unique_ptr<device::Stream> make_stream() override;
  [[nodiscard]] std::unique_ptr<device::DevicePlan> plan(const device::Network& network, std::int64_t samples,
                                                         device::Mode mode,
                                                         const std::string& choices) override;

  /// Nothing: the CPU's runners have memory of their own.
  [[nodiscard]] std::shared_ptr<device::DeviceLane> make_lane() override { return nullptr; }

  void gather(device::Stream& stream, const device::StoredSamples& stored,
              device::DeviceSpan<const std::int64_t> positions, device::DeviceSpan<const AffineMap> maps,
              float scale, device::DeviceSpan<float> images,
              device::DeviceSpan<std::int32_t> labels) override;
  void sum(device::Stream& stream, std::span<const device::DeviceSpan<const float>> partials,
           std::span<const device::TreeAddition> additions, device::DeviceSpan<float> sum) override;
  void mean(device::Stream& stream, std::span<const device::DeviceSpan<const float>> partials,
            std::span<const device::TreeAddition> additions,
            device::DeviceSpan<const device::UpdateArguments> arguments,
            device::DeviceSpan<float> mean) override;
  void sgd_update(device::Stream& stream, device::DeviceSpan<const device::UpdateArguments> arguments,
                  device::DeviceSpan<float> weights, device::DeviceSpan<const float> gradient,
                  device::DeviceSpan<float> velocity, bool momentum,
                  device::DeviceSpan<std::uint32_t> not_finite) override;
  void adamw_update(device::Stream& stream, device::DeviceSpan<const device::UpdateArguments> arguments,
                    device::DeviceSpan<float> weights, device::DeviceSpan<const float> gradient,
                    device::DeviceSpan<float> moment1, device::DeviceSpan<float> moment2,
                    device::DeviceSpan<std::uint32_t> not_finite) override;
  void take_weights(device::Stream& stream, device::DeviceSpan<const device::UpdateArguments> arguments,
                    device::DeviceSpan<const float> gathered, device::DeviceSpan<float> weights) override;
  void find(device::Stream& stream, const device::StepEvidence& evidence,
            device::DeviceSpan<device::StepFindings> findings) override;
  void decide(device::Stream& stream, device::DeviceSpan<const device::StepFindings> of_ranks,
              device::WeightsOwner owner, device::DeviceSpan<std::uint32_t> halted,
              device::DeviceSpan<device::UpdateArguments> arguments) override;
  void hash_blocks(device::Stream& stream, device::DeviceSpan<const float> values, std::uint64_t first_seed,
                   device::DeviceSpan<std::uint64_t> hashes) override;

 private:
  device::DeviceFacts facts_;
  std::shared_ptr<HostHeap> heap_;
  std::unique_ptr<device::Backend> cpu_;
};

/// The CPU backend's plan as an accelerator's: host_plan.cpp.
std::unique_ptr<device::DevicePlan> make_host_plan(device::Backend& cpu, const device::Network& network,
                                                   std::int64_t samples, device::Mode mode,
                                                   const std::string& choices);

}  // namespace lockstep::testing
