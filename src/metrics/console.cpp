#include "metrics/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/quiet_write.h"
#include "metrics/console_text.h"
#include "metrics/profile_text.h"

namespace lockstep::metrics {
namespace {

constexpr double seconds_between_updates = 0.1;
constexpr int usual_columns = 80;
constexpr std::chrono::milliseconds at_once(0), farewell(2000);
constexpr std::size_t most_kept = std::size_t{1} << 20U;  // some 10 000 rows

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Console::Console(int descriptor, ConsoleOptions options)
    : terminal_(without_blocking(descriptor)),
      descriptor_(terminal_ ? terminal_.get() : descriptor),
      is_terminal_(options.is_terminal.value_or(::isatty(descriptor) != 0)),
      options_(std::move(options)) {
  if (!options_.now) options_.now = steady_seconds;
  if (!options_.width) options_.width = [] { return 0; };
}

Console::~Console() {
  print(erased(), at_the_end());
}

void Console::begin(const RunHeader& header) {
  has_validation_ = header.val_samples > 0;
  print(header_text(header, options_.colour), of_a_row());
}

void Console::step(const StepRecord& record) {
  print_kept(at_once);
  if (!options_.progress || broken_ || !kept_.empty()) return;
  const double now = options_.now();
  if (last_update_ && now - *last_update_ < seconds_between_updates) return;
  last_update_ = now;
  fmt::memory_buffer line;
  progress_text(record, static_cast<std::size_t>(columns()), line);
  draw({line.data(), line.size()});
}

void Console::draw(std::string_view line) {
  // Blanks over what is left of a longer line, rather than an escape sequence: every terminal knows them.
  const std::size_t visible = std::min(live_, static_cast<std::size_t>(columns()));
  const std::size_t blanks = visible - std::min(visible, line.size());
  fmt::memory_buffer text;
  fmt::format_to(std::back_inserter(text), "\r{}{:{}}", line, "", blanks);
  const auto [count, error] = quiet_write(descriptor_, {text.data(), text.size()}, at_once);
  live_ = error == 0 ? line.size() : std::max(live_, line.size());  // a part of it may be there
  note(error);
}

void Console::epoch(const EpochRecord& record) {
  std::string text = erased();
  if (!std::exchange(has_heads_, true)) text += heads_text(has_validation_, options_.colour);
  text += row_text(record, has_validation_);
  live_ = 0;
  print(text, of_a_row());
}

void Console::profile(const ProfileRecord& record) {
  const std::string text = erased() + profile_text(record, options_.colour);
  live_ = 0;
  print(text, of_a_row());
}

void Console::end(const RunSummary& summary) {
  const std::string text = erased() + summary_text(summary, options_.colour);
  live_ = 0;
  print(text, at_the_end());
  kept_.clear();  // given up
}

void Console::print(std::string_view text, Patience patience) {
  if (broken_) return;
  if (kept_.size() <= most_kept) kept_ += text;
  print_kept(patience);
}

void Console::print_kept(Patience patience) {
  if (kept_.empty()) return;
  const auto [count, error] = quiet_write(descriptor_, kept_, patience);
  kept_.erase(0, count);
  note(error);
}

void Console::note(int error) {
  if (error == 0 || error == EAGAIN) return;
  broken_ = true;
  kept_.clear();
  log::warning(
      "standard output cannot be written: {}; the training goes on, and its run folder has the metrics",
      std::generic_category().message(error));
}

Console::Patience Console::of_a_row() const {
  return is_terminal_ ? Patience(at_once) : std::nullopt;
}

Console::Patience Console::at_the_end() const {
  return is_terminal_ ? Patience(farewell) : std::nullopt;
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
