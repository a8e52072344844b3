#include "metrics/json.h"

#include <nlohmann/json.hpp>

namespace lockstep::metrics {
namespace {

nlohmann::ordered_json or_null(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

nlohmann::ordered_json or_null(const std::optional<EpochRecord>& record) {
  return record ? to_json(*record) : nlohmann::ordered_json();
}

}  // namespace

nlohmann::ordered_json to_json(const EpochRecord& record) {
  return {{"epoch", record.epoch},
          {"train_loss", record.train_loss},
          {"train_accuracy", record.train_accuracy},
          {"val_loss", or_null(record.val_loss)},
          {"val_accuracy", or_null(record.val_accuracy)},
          {"learning_rate", record.learning_rate},
          {"seconds", record.seconds},
          {"samples_per_second", record.samples_per_second}};
}

nlohmann::ordered_json to_json(const RunSummary& summary) {
  return {{"status", summary.status},
          {"detail", summary.detail},
          {"epochs_done", summary.epochs_done},
          {"steps_done", summary.steps_done},
          {"seconds", summary.seconds},
          {"startup_seconds", summary.startup_seconds},
          {"peak_memory_bytes", summary.peak_memory_bytes},
          {"last", or_null(summary.last)},
          {"best", or_null(summary.best)},
          {"folder", summary.folder},
          {"weights", summary.weights},
          {"weights_digest", summary.weights_digest}};
}

}  // namespace lockstep::metrics
