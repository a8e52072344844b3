#include "metrics/csv.h"

#include <fmt/core.h>

#include <string_view>

namespace lockstep::metrics {
namespace {

constexpr std::string_view header =
    "epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds,samples_per_second\n";

std::string or_empty(const std::optional<double>& value) {
  return value ? fmt::format("{}", *value) : "";
}

}  // namespace

Csv::Csv(const std::string& path) : file_(path) {
  file_.append(header);
}

Csv::Csv(const std::string& path, std::int64_t epochs_done)
    : file_(path, [=](std::string_view line) {
        const auto epoch = leading_number(line);
        return epoch ? *epoch <= epochs_done : line == header.substr(0, header.size() - 1);
      }) {
  if (file_.kept_lines() == 0) file_.append(header);
}

void Csv::epoch(const EpochRecord& record) {
  file_.append(fmt::format("{},{},{},{},{},{},{},{}\n", record.epoch, record.train_loss,
                           record.train_accuracy, or_empty(record.val_loss), or_empty(record.val_accuracy),
                           record.learning_rate, record.seconds, record.samples_per_second));
}

}  // namespace lockstep::metrics
