#include "metrics/console.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "metrics/console_text.h"
#include "metrics/quiet_write.h"

namespace lockstep::metrics {
namespace {

constexpr double seconds_between_updates = 0.1;
constexpr int usual_columns = 80;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Console::Console(int descriptor, ConsoleOptions options)
    : descriptor_(descriptor), options_(std::move(options)) {
  if (!options_.now) options_.now = steady_seconds;
  if (!options_.width) options_.width = [] { return 0; };
}

Console::~Console() {
  if (live_ > 0) write(erased());
}

void Console::begin(const RunHeader& header) {
  has_validation_ = header.val_samples > 0;
  write(header_text(header, options_.colour));
}

void Console::step(const StepRecord& record) {
  if (!options_.progress || broken_) return;
  const double now = options_.now();
  if (last_update_ && now - *last_update_ < seconds_between_updates) return;
  last_update_ = now;
  const std::string line = progress_text(record, static_cast<std::size_t>(columns()));
  std::string text = "\r" + line;
  // Blanks over what is left of a longer line, rather than an escape sequence: every terminal knows them.
  const std::size_t visible = std::min(live_, static_cast<std::size_t>(columns()));
  if (visible > line.size()) text.append(visible - line.size(), ' ');
  live_ = line.size();
  write(text);
}

void Console::epoch(const EpochRecord& record) {
  std::string text = erased();
  if (!std::exchange(has_heads_, true)) text += heads_text(has_validation_, options_.colour);
  text += row_text(record, has_validation_);
  live_ = 0;
  write(text);
}

void Console::end(const RunSummary& summary) {
  const std::string text = erased() + summary_text(summary, options_.colour);
  live_ = 0;
  write(text);
}

void Console::write(std::string_view text) {
  if (broken_) return;
  if (const int error = quiet_write(descriptor_, text); error != 0) {
    broken_ = true;
    log::warning(
        "standard output cannot be written: {}; the training goes on, and its run folder has the metrics",
        std::generic_category().message(error));
  }
}

int Console::columns() const {
  const int width = options_.width();
  // The last column stays free: a character there moves many terminals to the next line.
  return std::max((width > 0 ? width : usual_columns) - 1, 1);
}

std::string Console::erased() const {
  if (live_ == 0) return "";
  const std::size_t visible = std::min(live_, static_cast<std::size_t>(columns()));
  return fmt::format("\r{:{}}\r", "", visible);
}

}  // namespace lockstep::metrics
