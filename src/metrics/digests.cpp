#include "metrics/digests.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

namespace lockstep::metrics {
namespace {

constexpr std::size_t enough_for_a_write = 4096;
constexpr std::size_t longest_line = 256;

}  // namespace

Digests::Digests(const std::string& path) : file_(path) {
  make_room();
  file_.append(fmt::format("{}\n", header));
}

Digests::Digests(const std::string& path, std::int64_t last_step)
    : file_(path, [=](std::string_view line) {
        const auto step = leading_number(line);
        return step ? *step <= last_step : line == header;
      }) {
  make_room();
  if (file_.kept_lines() == 0) file_.append(fmt::format("{}\n", header));
}

/// A step allocates nothing.
void Digests::make_room() {
  lines_.reserve(enough_for_a_write + longest_line);
}

void Digests::digest(const DigestRecord& record) {
  fmt::format_to(std::back_inserter(lines_), "{},{},{:016x},", record.step, record.epoch, record.weights);
  if (record.at_epoch_end) {
    const EpochDigests& epoch = *record.at_epoch_end;
    fmt::format_to(std::back_inserter(lines_), "{:016x},{:016x},{:016x}\n", epoch.optimizer, epoch.samples,
                   epoch.metrics);
  } else {
    lines_ += ",,\n";
  }
  if (record.at_epoch_end || lines_.size() >= enough_for_a_write) flush();
}

void Digests::end(const RunSummary& /*summary*/) {
  flush();
}

void Digests::flush() {
  if (!lines_.empty()) file_.append(lines_);
  lines_.clear();
}

}  // namespace lockstep::metrics
