#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/error.h"
#include "host_accelerator.h"

namespace lockstep::testing {
namespace {

using device::DeviceShard;
using device::DeviceSpan;
using device::Totals;

/// A CPU plan, with the weights that it loaded last. Streams are used by several threads.
struct Planned {
  std::unique_ptr<device::Plan> plan;
  std::mutex mutex;
};

class HostRunner final : public device::DeviceRunner {
 public:
  HostRunner(Planned& planned, const device::Network& network, std::int64_t samples)
      : planned_(planned),
        network_(network),
        samples_(samples),
        runner_(planned.plan->make_runner()),
        gradient_(static_cast<std::size_t>(network.parameters.slab_size())) {}

  /// The CPU's passes are not cut in two: all of it.
  void forward(device::Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
               DeviceSpan<Totals> totals) override {
    check_sizes(shard, weights, totals);
    dynamic_cast<HostStream&>(stream).run([=, this] {
      const std::lock_guard lock(planned_.mutex);
      load(weights);
      *totals.data = runner_->train(input(shard), gradient_.span());
    });
  }

  void backward(device::Stream& stream, const DeviceShard& /*shard*/, DeviceSpan<const float> weights,
                DeviceSpan<float> gradient, const Finished& finished) override {
    check(gradient.count == weights.count, "a gradient is a slab");
    dynamic_cast<HostStream&>(stream).run([=, this] { std::ranges::copy(gradient_.span(), gradient.data); });
    if (finished) finished(gradient.count);
  }

  void evaluate(device::Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
                DeviceSpan<Totals> totals) override {
    check_sizes(shard, weights, totals);
    dynamic_cast<HostStream&>(stream).run([=, this] {
      const std::lock_guard lock(planned_.mutex);
      load(weights);
      *totals.data = runner_->evaluate(input(shard));
    });
  }

 private:
  void check_sizes(const DeviceShard& shard, DeviceSpan<const float> weights,
                   DeviceSpan<Totals> totals) const {
    check(shard.images.count == samples_ * network_.input.count(), "a shard has the images of its plan");
    check(shard.labels.count == samples_ && shard.rows.count == samples_, "each image has a label and a row");
    check(shard.epoch.count == 1 && totals.count == 1, "a shard has one epoch, and one result");
    check(weights.count == network_.parameters.slab_size(), "weights are a slab");
  }

  void load(DeviceSpan<const float> weights) {
    planned_.plan->load_weights({weights.data, static_cast<std::size_t>(weights.count)});
  }

  static device::ShardInput input(const DeviceShard& shard) {
    return {.images = shard.images.data,
            .labels = shard.labels.data,
            .rows = shard.rows.data,
            .epoch = *shard.epoch.data};
  }

  Planned& planned_;
  const device::Network& network_;
  std::int64_t samples_;
  std::unique_ptr<device::ShardRunner> runner_;
  AlignedBuffer<float> gradient_;
};

class HostPlan final : public device::DevicePlan {
 public:
  HostPlan(std::unique_ptr<device::Plan> plan, const device::Network& network, std::int64_t samples)
      : network_(network), samples_(samples) {
    planned_.plan = std::move(plan);
  }

  [[nodiscard]] std::unique_ptr<device::DeviceRunner> make_runner(
      std::shared_ptr<device::DeviceLane> /*lane*/) override {
    return std::make_unique<HostRunner>(planned_, network_, samples_);
  }
  [[nodiscard]] std::int64_t runner_bytes() const override { return planned_.plan->runner_bytes(); }
  [[nodiscard]] std::vector<std::string> implementations() const override {
    return planned_.plan->implementations();
  }
  [[nodiscard]] std::string choices() const override {
    return fmt::format("{}", fmt::join(implementations(), "; "));
  }

 private:
  const device::Network& network_;
  std::int64_t samples_;
  Planned planned_;
};

}  // namespace

std::unique_ptr<device::DevicePlan> make_host_plan(device::Backend& cpu, const device::Network& network,
                                                   std::int64_t samples, device::Mode mode,
                                                   const std::string& choices) {
  auto plan = std::make_unique<HostPlan>(cpu.plan(network, samples, mode), network, samples);
  if (!choices.empty() && choices != plan->choices())
    fail(ExitCode::no_device, "host accelerator: cannot compute with '{}', only with '{}'", choices,
         plan->choices());
  return plan;
}

}  // namespace lockstep::testing
