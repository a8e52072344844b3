#pragma once

#include <cstdint>

#include "config/experiment.h"

namespace lockstep::optim {

/// The learning rate of a step (from 0, over the whole training): a pure function, the same bits on every
/// machine. With epoch e = step / steps_per_epoch and p = step / (steps − 1), which is 0 in the first and 1
/// in the last step of the training, the base rate is multiplied by
///
///     constant     1
///     step         factor ^ ⌊e / every⌋
///     exponential  factor ^ e
///     cosine       f + (1 − f) · (1 + cos πp) / 2   with f = final_factor; I. Loshchilov and F. Hutter,
///     "SGDR:
///                  stochastic gradient descent with warm restarts", ICLR 2017, one cycle without restarts
///     linear       (1 − p) + f · p
///
/// and for step t < warmup_steps also by (t + 1) / warmup_steps. A training of one step has p = 0.
///
/// Requires 0 <= step < steps_per_epoch · epochs.
double learning_rate(const config::Schedule& schedule, double base, std::int64_t step,
                     std::int64_t steps_per_epoch, std::int64_t epochs);

}  // namespace lockstep::optim
