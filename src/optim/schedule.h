#pragma once

#include <cstdint>

#include "config/experiment.h"

namespace lockstep::optim {

/// The learning rate of a step (from 0, over the whole training): a pure function. During warm-up the rate of
/// step t is the schedule's times (t + 1) / warmup_steps. cosine and linear reach final_factor at the last
/// step.
double learning_rate(const config::Schedule& schedule, double base, std::int64_t step,
                     std::int64_t steps_per_epoch, std::int64_t epochs);

}  // namespace lockstep::optim
