#include <fmt/core.h>
#include <omp.h>

#include "base/check.h"
#include "device/backend.h"
#include "device/cpu/elementwise.h"
#include "device/cpu/fused/joint_dense.h"
#include "device/cpu/network_plan.h"

namespace lockstep::device {
namespace {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options) : engine_(dnnl::engine::kind::cpu, 0), options_(options) {}

  [[nodiscard]] std::string describe() const override {
    return fmt::format("cpu ({})", cpu_instruction_set());
  }

  [[nodiscard]] std::unique_ptr<Plan> plan(const Network& network, std::int64_t samples, Mode mode) override {
    prepare_cpu_thread();
    return std::make_unique<cpu::NetworkPlan>(engine_, network, samples, mode, options_);
  }

  [[nodiscard]] std::unique_ptr<JointGradients> joint_gradients(const Network& network) override {
    return cpu::fused::make_joint_gradients(network, options_.convolutions);
  }

  bool sgd_update(const SgdArguments& arguments, std::span<float> weights, std::span<const float> gradient,
                  std::span<float> velocity) override {
    check(gradient.size() == weights.size() &&
              (velocity.size() == weights.size() || (velocity.empty() && arguments.momentum == 0)),
          "weights, gradient and velocity are of one size");
    return cpu::sgd(arguments, weights.data(), gradient.data(), velocity.data(), std::ssize(weights));
  }

  bool adamw_update(const AdamWArguments& arguments, std::span<float> weights,
                    std::span<const float> gradient, std::span<float> moment1,
                    std::span<float> moment2) override {
    check(gradient.size() == weights.size() && moment1.size() == weights.size() &&
              moment2.size() == weights.size(),
          "weights, gradient and moments are of one size");
    return cpu::adamw(arguments, weights.data(), gradient.data(), moment1.data(), moment2.data(),
                      std::ssize(weights));
  }

 private:
  dnnl::engine engine_;
  CpuOptions options_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  prepare_cpu_thread();
  return std::make_unique<CpuBackend>(options);
}

void prepare_cpu_thread() {
  omp_set_num_threads(1);
}

}  // namespace lockstep::device
