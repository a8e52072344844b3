#include "optim/schedule.h"

#include "base/check.h"
#include "base/portable_cos.h"
#include "optim/integer_power.h"

namespace lockstep::optim {
namespace {

struct Position {
  std::int64_t epoch = 0;
  double progress = 0;  ///< 0 in the first step of the training, 1 in the last
};

double factor(const config::ConstantSchedule&, Position) {
  return 1;
}

double factor(const config::StepSchedule& schedule, Position at) {
  return integer_power(schedule.factor, at.epoch / schedule.every);
}

double factor(const config::ExponentialSchedule& schedule, Position at) {
  return integer_power(schedule.factor, at.epoch);
}

double factor(const config::CosineSchedule& schedule, Position at) {
  return schedule.final_factor + (1 - schedule.final_factor) * ((1 + portable_cos_pi(at.progress)) / 2);
}

double factor(const config::LinearSchedule& schedule, Position at) {
  return (1 - at.progress) + schedule.final_factor * at.progress;
}

double warmup_factor(std::int64_t step, std::int64_t warmup_steps) {
  if (step >= warmup_steps) return 1;
  return static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
}

}  // namespace

double learning_rate(const config::Schedule& schedule, double base, std::int64_t step,
                     std::int64_t steps_per_epoch, std::int64_t epochs) {
  const std::int64_t steps = steps_per_epoch * epochs;
  check(0 <= step && step < steps, "a learning rate is asked for a step of the training");
  const double last_step = static_cast<double>(steps - 1);
  const Position at = {.epoch = step / steps_per_epoch,
                       .progress = steps > 1 ? static_cast<double>(step) / last_step : 0};
  const double scheduled = std::visit([&](const auto& kind) { return factor(kind, at); }, schedule.kind);
  return base * scheduled * warmup_factor(step, schedule.warmup_steps);
}

}  // namespace lockstep::optim
