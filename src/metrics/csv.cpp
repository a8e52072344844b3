#include "metrics/csv.h"

#include <fmt/core.h>

namespace lockstep::metrics {
namespace {

std::string or_empty(const std::optional<double>& value) {
  return value ? fmt::format("{}", *value) : "";
}

}  // namespace

Csv::Csv(const std::string& path) : file_(path) {
  file_.append(
      "epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds,samples_per_second\n");
}

void Csv::epoch(const EpochRecord& record) {
  file_.append(fmt::format("{},{},{},{},{},{},{},{}\n", record.epoch, record.train_loss,
                           record.train_accuracy, or_empty(record.val_loss), or_empty(record.val_accuracy),
                           record.learning_rate, record.seconds, record.samples_per_second));
}

}  // namespace lockstep::metrics
