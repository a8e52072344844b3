#include "device/accelerated_backend.h"

#include <algorithm>
#include <exception>

#include "base/check.h"

namespace lockstep::device {
namespace {

/// An array of the device and page-locked memory to copy it from and to. The stream must be idle before
/// either side is touched anew.
template <class T>
class Mirror {
 public:
  Mirror(Accelerator& accelerator, std::int64_t count)
      : device_(accelerator.make_array<T>(count)), host_(accelerator.make_pinned<T>(count)) {}

  void put(Stream& stream, std::span<const T> values) {
    check(values.size() == host_.span().size(), "a copy has as many elements as its target");
    std::ranges::copy(values, host_.span().begin());
    copy_in(stream, device_.span(), host_.span());
  }
  void fetch(Stream& stream) { copy_out(stream, host_.span(), device_.span()); }

  [[nodiscard]] DeviceSpan<T> device() const { return device_.span(); }
  [[nodiscard]] std::span<const T> host() const { return host_.span(); }  ///< after fetch, when it is done
  [[nodiscard]] std::int64_t bytes() const { return device_.span().bytes(); }

 private:
  DeviceArray<T> device_;
  PinnedArray<T> host_;
};

class AcceleratedRunner final : public ShardRunner {
 public:
  AcceleratedRunner(Accelerator& accelerator, DevicePlan& plan, const Network& network, std::int64_t samples,
                    Mode mode, DeviceSpan<const float> weights)
      : weights_(weights),
        stream_(accelerator.make_stream()),
        images_(accelerator, samples * network.input.count()),
        labels_(accelerator, samples),
        rows_(accelerator, samples),
        epoch_(accelerator, 1),
        gradient_(accelerator, mode == Mode::training ? network.parameters.slab_size() : 0),
        totals_(accelerator, 1),
        runner_(plan.make_runner()) {}

  Totals train(const ShardInput& input, std::span<float> gradient) override {
    check(input.rows != nullptr, "a shard to train with has the identities of its samples");
    put(input);
    rows_.put(*stream_, {input.rows, rows_.host().size()});
    epoch_.put(*stream_, {&input.epoch, 1});
    runner_->train(*stream_, shard(), weights_, gradient_.device(), totals_.device());
    gradient_.fetch(*stream_);
    const Totals totals = finish();
    std::ranges::copy(gradient_.host(), gradient.begin());
    return totals;
  }

  Totals evaluate(const ShardInput& input) override {
    put(input);
    runner_->evaluate(*stream_, shard(), weights_, totals_.device());
    return finish();
  }

 private:
  void put(const ShardInput& input) {
    images_.put(*stream_, {input.images, images_.host().size()});
    labels_.put(*stream_, {input.labels, labels_.host().size()});
  }
  [[nodiscard]] DeviceShard shard() const {
    return {.images = images_.device(),
            .labels = labels_.device(),
            .rows = rows_.device(),
            .epoch = epoch_.device()};
  }
  Totals finish() {
    totals_.fetch(*stream_);
    stream_->synchronize();
    return totals_.host()[0];
  }

  DeviceSpan<const float> weights_;
  std::unique_ptr<Stream> stream_;
  Mirror<float> images_;
  Mirror<std::int32_t> labels_;
  Mirror<std::int64_t> rows_, epoch_;
  Mirror<float> gradient_;
  Mirror<Totals> totals_;
  std::unique_ptr<DeviceRunner> runner_;
  Drain drain_{*stream_};
};

class AcceleratedPlan final : public Plan {
 public:
  AcceleratedPlan(Accelerator& accelerator, const Network& network, std::int64_t samples, Mode mode,
                  const std::string& choices)
      : accelerator_(accelerator),
        network_(network),
        samples_(samples),
        mode_(mode),
        plan_(accelerator.plan(network, samples, mode, choices)),
        stream_(accelerator.make_stream()),
        weights_(accelerator, network.parameters.slab_size()) {}

  void load_piece(std::span<const float> weights, std::int64_t /*piece*/, const float* /*packed*/) override {
    check(std::ssize(weights) == network_.parameters.slab_size(), "weights come as a whole slab");
    weights_.put(*stream_, weights);
    stream_->synchronize();
  }
  [[nodiscard]] std::unique_ptr<ShardRunner> make_runner() override {
    return std::make_unique<AcceleratedRunner>(accelerator_, *plan_, network_, samples_, mode_,
                                               weights_.device());
  }
  [[nodiscard]] std::int64_t runner_bytes() const override { return plan_->runner_bytes(); }
  [[nodiscard]] std::int64_t shared_bytes() const override { return weights_.bytes(); }
  [[nodiscard]] std::vector<std::string> implementations() const override { return plan_->implementations(); }

 private:
  Accelerator& accelerator_;
  const Network& network_;
  std::int64_t samples_;
  Mode mode_;
  std::unique_ptr<DevicePlan> plan_;
  std::unique_ptr<Stream> stream_;
  Mirror<float> weights_;
  Drain drain_{*stream_};
};

/// Arguments and flags of one update; `queue` queues it.
template <class Queue>
bool update(Accelerator& accelerator, Stream& stream, const UpdateArguments& values, std::int64_t count,
            const Queue& queue) {
  Mirror<UpdateArguments> arguments(accelerator, 1);
  const std::int64_t blocks = (count + Parameters::block - 1) / Parameters::block;
  Mirror<std::uint32_t> not_finite(accelerator, blocks);
  const Drain drain(stream);
  arguments.put(stream, {&values, 1});
  stream.clear(not_finite.device().data, not_finite.device().bytes());
  queue(arguments.device(), not_finite.device());
  not_finite.fetch(stream);
  stream.synchronize();
  return std::ranges::all_of(not_finite.host(), [](std::uint32_t flag) { return flag == 0; });
}

}  // namespace

AcceleratedBackend::AcceleratedBackend(Accelerator& accelerator, PlanChoices choices)
    : accelerator_(accelerator), choices_(std::move(choices)) {}

std::string AcceleratedBackend::describe() const {
  return accelerator_.describe();
}

std::unique_ptr<Plan> AcceleratedBackend::plan(const Network& network, std::int64_t samples, Mode mode) {
  const auto chosen = choices_.find({mode, samples});
  return std::make_unique<AcceleratedPlan>(accelerator_, network, samples, mode,
                                           chosen == choices_.end() ? "" : chosen->second);
}

bool AcceleratedBackend::sgd_update(const SgdArguments& arguments, std::span<float> weights,
                                    std::span<const float> gradient, std::span<float> velocity) {
  const bool momentum = arguments.momentum != 0;
  check(gradient.size() == weights.size() &&
            (velocity.size() == weights.size() || (velocity.empty() && !momentum)),
        "weights, gradient and velocity are of one size");
  const auto stream = accelerator_.make_stream();
  const std::int64_t count = std::ssize(weights);
  Mirror<float> w(accelerator_, count), g(accelerator_, count), v(accelerator_, std::ssize(velocity));
  const Drain drain(*stream);
  w.put(*stream, weights);
  g.put(*stream, gradient);
  v.put(*stream, velocity);
  const bool finite =
      update(accelerator_, *stream, {.sgd = arguments, .adamw = {}}, count,
             [&](DeviceSpan<const UpdateArguments> queued, DeviceSpan<std::uint32_t> flags) {
               accelerator_.sgd_update(*stream, queued, w.device(), g.device(), v.device(), momentum, flags);
               w.fetch(*stream);
               v.fetch(*stream);
             });
  std::ranges::copy(w.host(), weights.begin());
  std::ranges::copy(v.host(), velocity.begin());
  return finite;
}

bool AcceleratedBackend::adamw_update(const AdamWArguments& arguments, std::span<float> weights,
                                      std::span<const float> gradient, std::span<float> moment1,
                                      std::span<float> moment2) {
  check(gradient.size() == weights.size() && moment1.size() == weights.size() &&
            moment2.size() == weights.size(),
        "weights, gradient and moments are of one size");
  const auto stream = accelerator_.make_stream();
  const std::int64_t count = std::ssize(weights);
  Mirror<float> w(accelerator_, count), g(accelerator_, count), m(accelerator_, count),
      v(accelerator_, count);
  const Drain drain(*stream);
  w.put(*stream, weights);
  g.put(*stream, gradient);
  m.put(*stream, moment1);
  v.put(*stream, moment2);
  const bool finite = update(accelerator_, *stream, {.sgd = {}, .adamw = arguments}, count,
                             [&](DeviceSpan<const UpdateArguments> queued, DeviceSpan<std::uint32_t> flags) {
                               accelerator_.adamw_update(*stream, queued, w.device(), g.device(), m.device(),
                                                         v.device(), flags);
                               w.fetch(*stream);
                               m.fetch(*stream);
                               v.fetch(*stream);
                             });
  std::ranges::copy(w.host(), weights.begin());
  std::ranges::copy(m.host(), moment1.begin());
  std::ranges::copy(v.host(), moment2.begin());
  return finite;
}

}  // namespace lockstep::device
