#include "metrics/json.h"

#include <limits>
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

std::optional<EpochRecord> epoch_of_json(const nlohmann::json& json) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  if (!json.is_object() || !json.contains("epoch") || !json["epoch"].is_number_integer()) return std::nullopt;
  const auto number = [&](const char* key) -> std::optional<double> {
    const auto found = json.find(key);
    return found != json.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
  };
  EpochRecord record{.epoch = json["epoch"].get<std::int64_t>(),
                     .train_loss = number("train_loss").value_or(none),
                     .train_accuracy = number("train_accuracy").value_or(none),
                     .val_loss = number("val_loss"),
                     .val_accuracy = number("val_accuracy"),
                     .learning_rate = number("learning_rate").value_or(none),
                     .seconds = number("seconds").value_or(none),
                     .samples_per_second = number("samples_per_second").value_or(none)};
  if (record.val_accuracy && !record.val_loss) record.val_loss = none;
  return record;
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
