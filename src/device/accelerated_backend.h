#pragma once

#include <memory>
#include <span>
#include <string>

#include "device/accelerator.h"
#include "device/backend.h"

namespace lockstep::device {

/// An accelerator as a Backend: tensors of the host are copied in, the work is done and waited for, and
/// results are copied out. For what is no training step: evaluation, checks, tests. A plan keeps its weights
/// on the device, a runner its shard. `accelerator` must outlive it.
class AcceleratedBackend final : public Backend {
 public:
  /// Plans follow `choices`; what is not there the device chooses.
  explicit AcceleratedBackend(Accelerator& accelerator, PlanChoices choices = {});

  [[nodiscard]] std::string describe() const override;
  [[nodiscard]] std::unique_ptr<Plan> plan(const Network& network, std::int64_t samples, Mode mode) override;
  bool sgd_update(const SgdArguments& arguments, std::span<float> weights, std::span<const float> gradient,
                  std::span<float> velocity) override;
  bool adamw_update(const AdamWArguments& arguments, std::span<float> weights,
                    std::span<const float> gradient, std::span<float> moment1,
                    std::span<float> moment2) override;

 private:
  Accelerator& accelerator_;
  PlanChoices choices_;
};

}  // namespace lockstep::device
