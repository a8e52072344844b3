#pragma once

#include <string>

#include "metrics/console_text.h"
#include "metrics/record.h"

/// Records whose every number is another, made from the epoch and the step.
namespace lockstep::testing {

inline metrics::EpochRecord epoch_record(std::int64_t epoch, bool with_validation = true) {
  const auto e = static_cast<double>(epoch);
  metrics::EpochRecord record{.epoch = epoch, .epochs = 12};
  record.train_loss = 1.0 / (3.0 * e);
  record.train_accuracy = 1.0 - 0.1 / e;
  if (with_validation) {
    record.val_loss = 1.0 / (7.0 * e);
    record.val_accuracy = 1.0 - 0.05 / e;
  }
  record.learning_rate = 0.1 / e;
  record.seconds = 1.5 + e / 3.0;
  record.samples_per_second = 12345.0 + e / 3.0;
  return record;
}

inline metrics::StepRecord step_record(std::int64_t epoch, std::int64_t step) {
  const auto s = static_cast<double>(step);
  return {.epoch = epoch,
          .epochs = 12,
          .step = step,
          .steps = 400,
          .loss = 2.0 / (1.0 + s),
          .accuracy = s / 400,
          .samples_per_second = 8000 + s,
          .seconds_left = 4000 - s};
}

inline std::string progress_text(const metrics::StepRecord& record, std::size_t columns) {
  fmt::memory_buffer line;
  metrics::progress_text(record, columns, line);
  return fmt::to_string(line);
}

}  // namespace lockstep::testing
