#include <cuda_runtime.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "device/cuda/device_facts.h"
#include "device/cuda/error.h"
#include "device/cuda/kernels/decision.h"
#include "device/cuda/kernels/gather.h"
#include "device/cuda/kernels/hash_blocks.h"
#include "device/cuda/kernels/sums.h"
#include "device/cuda/kernels/update.h"
#include "device/cuda/lane.h"
#include "device/cuda/libraries.h"
#include "device/cuda/memory.h"
#include "device/cuda/network_plan.h"
#include "device/cuda/stream.h"

namespace lockstep::device {
namespace cuda {
namespace {

std::string_view name_of(config::Precision precision) {
  switch (precision) {
    case config::Precision::fp32:
      return "fp32";
    case config::Precision::tf32:
      return "tf32";
    case config::Precision::bf16:
      break;
  }
  return "bf16";
}

/// Everything is queued by the calling thread on the stream that it is given, whatever device was current.
class CudaAccelerator final : public Accelerator {
 public:
  CudaAccelerator(DeviceFacts facts, config::Precision precision)
      : facts_(std::move(facts)), precision_(precision) {}

  const DeviceFacts& facts() const override { return facts_; }
  std::string describe() const override {
    return fmt::format("cuda ({}, {}, {})", facts_.name, facts_.architecture, name_of(precision_));
  }

  std::unique_ptr<Memory> allocate(std::int64_t bytes) override {
    return allocate_device_memory(facts_.index, bytes);
  }
  std::unique_ptr<Memory> allocate_pinned(std::int64_t bytes) override {
    return allocate_pinned_memory(facts_.index, bytes);
  }
  std::unique_ptr<Stream> make_stream() override { return cuda::make_stream(facts_.index); }

  std::unique_ptr<DevicePlan> plan(const Network& network, std::int64_t samples, Mode mode,
                                   const std::string& choices) override {
    use_device(facts_.index);
    return make_network_plan(*this, precision_, network, samples, mode, choices);
  }

  std::shared_ptr<DeviceLane> make_lane() override { return std::make_shared<Lane>(*this); }

  void gather(Stream& stream, const StoredSamples& stored, DeviceSpan<const std::int64_t> positions,
              DeviceSpan<const AffineMap> maps, float scale, DeviceSpan<float> images,
              DeviceSpan<std::int32_t> labels) override {
    cuda::gather(queue(stream), stored, positions, maps, scale, images, labels);
  }
  void sum(Stream& stream, std::span<const DeviceSpan<const float>> partials,
           std::span<const TreeAddition> additions, DeviceSpan<float> sum) override {
    cuda::sum(queue(stream), partials, additions, sum);
  }
  void mean(Stream& stream, std::span<const DeviceSpan<const float>> partials,
            std::span<const TreeAddition> additions, DeviceSpan<const UpdateArguments> arguments,
            DeviceSpan<float> mean) override {
    cuda::mean(queue(stream), partials, additions, arguments, mean);
  }
  void sgd_update(Stream& stream, DeviceSpan<const UpdateArguments> arguments, DeviceSpan<float> weights,
                  DeviceSpan<const float> gradient, DeviceSpan<float> velocity, bool momentum,
                  DeviceSpan<std::uint32_t> not_finite) override {
    cuda::sgd_update(queue(stream), arguments, weights, gradient, velocity, momentum, not_finite);
  }
  void adamw_update(Stream& stream, DeviceSpan<const UpdateArguments> arguments, DeviceSpan<float> weights,
                    DeviceSpan<const float> gradient, DeviceSpan<float> moment1, DeviceSpan<float> moment2,
                    DeviceSpan<std::uint32_t> not_finite) override {
    cuda::adamw_update(queue(stream), arguments, weights, gradient, moment1, moment2, not_finite);
  }
  void take_weights(Stream& stream, DeviceSpan<const UpdateArguments> arguments,
                    DeviceSpan<const float> gathered, DeviceSpan<float> weights) override {
    cuda::take_weights(queue(stream), arguments, gathered, weights);
  }
  void find(Stream& stream, const StepEvidence& evidence, DeviceSpan<StepFindings> findings) override {
    cuda::find(queue(stream), evidence, findings);
  }
  void decide(Stream& stream, DeviceSpan<const StepFindings> of_ranks, WeightsOwner owner,
              DeviceSpan<std::uint32_t> halted, DeviceSpan<UpdateArguments> arguments) override {
    cuda::decide(queue(stream), of_ranks, owner, halted, arguments);
  }
  void hash_blocks(Stream& stream, DeviceSpan<const float> values, std::uint64_t first_seed,
                   DeviceSpan<std::uint64_t> hashes) override {
    cuda::hash_blocks(queue(stream), values, first_seed, hashes);
  }

 private:
  [[nodiscard]] cudaStream_t queue(Stream& stream) const {
    use_device(facts_.index);
    return native(stream);
  }

  DeviceFacts facts_;
  config::Precision precision_;
};

std::string cublas_version() {
  std::array<int, 3> numbers = {};
  constexpr std::array<libraryPropertyType, 3> parts = {MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
  for (std::size_t i = 0; i < parts.size(); ++i)
    call(cublasGetProperty(parts[i], &numbers[i]), "cublasGetProperty");
  return fmt::format("{}", fmt::join(numbers, "."));
}

std::string cudnn_version() {
  const std::size_t version = cudnnGetVersion();  // 91900 is 9.19.0
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace
}  // namespace cuda

std::unique_ptr<Accelerator> make_accelerator(const AcceleratorOptions& options) {
  const std::vector<DeviceFacts> devices = visible_devices();
  if (devices.empty())
    fail(ExitCode::no_device,
         "device.kind=cuda needs a GPU, and this process sees none (CUDA_VISIBLE_DEVICES can hide them): use "
         "device.kind=cpu");
  if (options.index < 0 || options.index >= std::ssize(devices))
    fail(ExitCode::no_device, "there is no GPU {}: this process sees {}, counted from 0", options.index,
         devices.size());
  DeviceFacts facts = devices[static_cast<std::size_t>(options.index)];
  cuda::start_device(facts);
  return std::make_unique<cuda::CudaAccelerator>(std::move(facts), options.precision);
}

std::vector<std::pair<std::string, std::string>> accelerator_libraries() {
  int runtime = 0;
  cuda::call(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  return {{"CUDA", cuda::version_text(runtime)},
          {"cuBLAS", cuda::cublas_version()},
          {"cuDNN", cuda::cudnn_version()}};
}

}  // namespace lockstep::device
