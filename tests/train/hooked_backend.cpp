#include "train/hooked_backend.h"

namespace lockstep::testing {
namespace {

class HookedRunner final : public device::ShardRunner {
 public:
  HookedRunner(std::unique_ptr<device::ShardRunner> inner, const Hooks& hooks)
      : inner_(std::move(inner)), hooks_(hooks) {}
  device::Totals train(const device::ShardInput& input, std::span<float> gradient) override {
    if (hooks_.before) hooks_.before(input);
    const device::Totals totals = inner_->train(input, gradient);
    if (hooks_.after) hooks_.after(input, gradient);
    return totals;
  }
  device::Totals evaluate(const device::ShardInput& input) override {
    if (hooks_.evaluating) hooks_.evaluating();
    return inner_->evaluate(input);
  }

 private:
  std::unique_ptr<device::ShardRunner> inner_;
  const Hooks& hooks_;
};

class HookedGroupRunner final : public device::GroupRunner {
 public:
  HookedGroupRunner(std::unique_ptr<device::GroupRunner> inner, const Hooks& hooks)
      : inner_(std::move(inner)), hooks_(hooks) {}
  void forward(int place, int worker, const device::ShardInput& input) override {
    if (hooks_.before) hooks_.before(input);
    inner_->forward(place, worker, input);
  }
  void turn(int first, int worker, std::span<device::ShardJob> jobs) override {
    inner_->turn(first, worker, jobs);
  }
  void backward(int place, int worker, const device::ShardJob& job) override {
    inner_->backward(place, worker, job);
    if (hooks_.after) hooks_.after(job.input, job.gradient);
  }

 private:
  std::unique_ptr<device::GroupRunner> inner_;
  const Hooks& hooks_;
};

class HookedPlan final : public device::Plan {
 public:
  HookedPlan(std::unique_ptr<device::Plan> inner, const Hooks& hooks)
      : inner_(std::move(inner)), hooks_(hooks) {}
  [[nodiscard]] device::Packing packing() const override { return inner_->packing(); }
  void pack(std::span<const float> weights, std::int64_t piece, float* packed) const override {
    if (hooks_.packing) hooks_.packing(piece);
    inner_->pack(weights, piece, packed);
  }
  [[nodiscard]] Range packing_source(std::int64_t piece) const override {
    return inner_->packing_source(piece);
  }
  [[nodiscard]] std::int64_t load_pieces() const override { return inner_->load_pieces(); }
  void load_piece(std::span<const float> weights, std::int64_t piece, const float* packed) override {
    inner_->load_piece(weights, piece, packed);
  }
  std::unique_ptr<device::ShardRunner> make_runner() override {
    return std::make_unique<HookedRunner>(inner_->make_runner(), hooks_);
  }
  [[nodiscard]] std::int64_t runner_bytes() const override { return inner_->runner_bytes(); }
  [[nodiscard]] std::int64_t shared_bytes() const override { return inner_->shared_bytes(); }
  [[nodiscard]] int most_together() const override { return inner_->most_together(); }
  [[nodiscard]] bool gains_much_together() const override { return inner_->gains_much_together(); }
  std::unique_ptr<device::GroupRunner> make_group_runner(int places, int workers) override {
    return std::make_unique<HookedGroupRunner>(inner_->make_group_runner(places, workers), hooks_);
  }
  [[nodiscard]] std::int64_t group_runner_bytes(int places, int workers) const override {
    return inner_->group_runner_bytes(places, workers);
  }
  [[nodiscard]] std::vector<std::string> implementations() const override {
    return inner_->implementations();
  }

 private:
  std::unique_ptr<device::Plan> inner_;
  const Hooks& hooks_;
};

class HookedBackend final : public device::Backend {
 public:
  explicit HookedBackend(const Hooks& hooks) : hooks_(hooks) {}
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }
  std::unique_ptr<device::Plan> plan(const device::Network& network, std::int64_t samples,
                                     device::Mode mode) override {
    return std::make_unique<HookedPlan>(inner_->plan(network, samples, mode), hooks_);
  }
  bool sgd_update(const device::SgdArguments& arguments, std::span<float> weights,
                  std::span<const float> gradient, std::span<float> velocity) override {
    return inner_->sgd_update(arguments, weights, gradient, velocity);
  }
  bool adamw_update(const device::AdamWArguments& arguments, std::span<float> weights,
                    std::span<const float> gradient, std::span<float> moment1,
                    std::span<float> moment2) override {
    return inner_->adamw_update(arguments, weights, gradient, moment1, moment2);
  }

 private:
  std::unique_ptr<device::Backend> inner_ = device::make_cpu_backend();
  const Hooks& hooks_;
};

}  // namespace

std::unique_ptr<device::Backend> make_hooked_backend(const Hooks& hooks) {
  return std::make_unique<HookedBackend>(hooks);
}

}  // namespace lockstep::testing
