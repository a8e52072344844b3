#include "metrics/console_text.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include "metrics/format.h"

namespace lockstep::metrics {
namespace {

// Widths of the table's columns. An epoch takes up to "1000/1000".
constexpr int epoch_width = 9, loss_width = 10, accuracy_width = 9, rate_width = 13, seconds_width = 8,
              speed_width = 11;

std::string loss_text(double loss) {
  return std::abs(loss) < 1000 ? fmt::format("{:.5f}", loss) : fmt::format("{:.4g}", loss);
}

std::string per_second_text(double rate) {
  return std::isfinite(rate) && std::abs(rate) < 1e15 ? grouped(std::llround(rate)) : "?";
}

std::string header_line(std::string_view name, std::string_view value, bool colour) {
  return fmt::format("  {} {}\n", styled(fmt::format("{:<10}", name), Style::dim, colour), value);
}

/// "2 threads", "2 to 3 threads".
std::string threads_text(const RunHeader& header) {
  std::string most = counted(std::max(header.max_threads_per_rank, header.threads_per_rank), "thread");
  if (header.max_threads_per_rank <= header.threads_per_rank) return most;
  return fmt::format("{} to {}", grouped(header.threads_per_rank), most);
}

/// "2 on 1 host (node1), 4 threads each".
std::string ranks_text(const RunHeader& header) {
  constexpr std::size_t most_named = 4;
  const std::size_t named = std::min(header.hosts.size(), most_named);
  std::string names = fmt::format("{}", fmt::join(header.hosts.begin(), header.hosts.begin() + named, ", "));
  if (named < header.hosts.size()) names += fmt::format(" and {} more", header.hosts.size() - named);
  return fmt::format("{} on {} ({}), {}{}", grouped(header.ranks),
                     counted(static_cast<std::int64_t>(header.hosts.size()), "host"), names,
                     threads_text(header), header.ranks > 1 ? " each" : "");
}

std::string promise_text(const std::string& reproducibility) {
  return reproducibility == "lockstep" ? "lockstep: the same bits on any number of ranks and threads"
                                       : reproducibility;
}

constexpr std::size_t gap = 2;  // between the fields of the live line

/// Appends a field, unless the line gets too long: then only a first one is there, cut off. False if so.
template <class... Args>
bool add_field(fmt::memory_buffer& line, std::size_t columns, fmt::format_string<Args...> format,
               Args&&... args) {
  const std::size_t before = line.size();
  const auto end = std::back_inserter(line);
  if (before > 0) fmt::format_to(end, "{:{}}", "", gap);
  fmt::format_to(end, format, std::forward<Args>(args)...);
  if (line.size() <= columns) return true;
  line.resize(before > 0 ? before : columns);
  return false;
}

Style style_of(const std::string& status) {
  if (status == "finished") return Style::green;
  return status.starts_with("stopped") ? Style::yellow : Style::red;
}

}  // namespace

std::string styled(std::string_view text, Style style, bool colour) {
  constexpr std::array codes{"", "1", "2", "32", "33", "31"};
  if (!colour || style == Style::plain) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", codes.at(static_cast<std::size_t>(style)), text);
}

std::string header_text(const RunHeader& header, bool colour) {
  std::string text = fmt::format("{}  {}\n", styled(header.experiment, Style::bold, colour), header.file);
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) text += header_line(name, value, colour);
  };
  add("ranks", ranks_text(header));
  add("device", header.device);
  add("samples", header.val_samples > 0
                     ? fmt::format("{} for training, {} for validation", grouped(header.train_samples),
                                   grouped(header.val_samples))
                     : fmt::format("{} for training", grouped(header.train_samples)));
  add("augmented", header.augmentation);
  add("parameters", grouped(header.parameters));
  add("steps", fmt::format("{} of {}, batch {} in {}", counted(header.epochs, "epoch"),
                           counted(header.steps_per_epoch, "step"), grouped(header.batch),
                           counted(header.shards, "shard")));
  add("average", header.average);
  add("exchange", header.exchange);
  add("results", promise_text(header.reproducibility));
  add("folder", header.folder);
  if (!header.goes_on.empty()) add("goes on", header.goes_on);
  if (header.cores_idle > 0)
    add("idle", styled(fmt::format("{}{}{}", counted(header.cores_idle, "core"),
                                   header.idle_advice.empty() ? "" : "; ", header.idle_advice),
                       Style::yellow, colour));
  return text + "\n";
}

std::string heads_text(bool has_validation, bool colour) {
  std::string text = fmt::format("{:>{}}{:>{}}{:>{}}", "epoch", epoch_width, "loss", loss_width, "accuracy",
                                 accuracy_width + 1);
  if (has_validation)
    text += fmt::format("{:>{}}{:>{}}", "val loss", loss_width + 1, "val acc", accuracy_width);
  text += fmt::format("{:>{}}{:>{}}{:>{}}", "learning rate", rate_width + 2, "seconds", seconds_width + 1,
                      "samples/s", speed_width);
  return styled(text, Style::bold, colour) + "\n";
}

std::string row_text(const EpochRecord& record, bool has_validation) {
  std::string text = fmt::format("{:>{}}{:>{}}{:>{}}", fmt::format("{}/{}", record.epoch, record.epochs),
                                 epoch_width, loss_text(record.train_loss), loss_width,
                                 percent(record.train_accuracy), accuracy_width + 1);
  if (has_validation)
    text += fmt::format("{:>{}}{:>{}}", record.val_loss ? loss_text(*record.val_loss) : "-", loss_width + 1,
                        record.val_accuracy ? percent(*record.val_accuracy) : "-", accuracy_width);
  text += fmt::format("{:>{}.5g}{:>{}.2f}{:>{}}\n", record.learning_rate, rate_width + 2, record.seconds,
                      seconds_width + 1, per_second_text(record.samples_per_second), speed_width);
  return text;
}

void progress_text(const StepRecord& record, std::size_t columns, fmt::memory_buffer& line) {
  constexpr std::size_t bar_least = 10, bar_most = 30, brackets = 2;
  line.clear();
  if (!add_field(line, columns, "epoch {}/{}", record.epoch, record.epochs) ||
      !add_field(line, columns, "step {}/{}", record.step, record.steps))
    return;
  const std::size_t bar_at = line.size();
  if (!add_field(line, columns, "loss {:.4f}", record.loss) ||
      !add_field(line, columns, "acc {}", percent(record.accuracy)) ||
      !add_field(line, columns, "{}/s", per_second_text(record.samples_per_second)) ||
      !add_field(line, columns, "{} left", duration(record.seconds_left)))
    return;
  if (columns - line.size() < gap + bar_least + brackets || record.steps <= 0) return;

  const std::size_t cells = std::min(bar_most, columns - line.size() - gap - brackets);
  const double done =
      std::clamp(static_cast<double>(record.step) / static_cast<double>(record.steps), 0.0, 1.0);
  const auto full = static_cast<std::size_t>(done * static_cast<double>(cells));
  const std::size_t behind = line.size() - bar_at;
  line.resize(line.size() + gap + cells + brackets);
  char* const bar = line.data() + bar_at;
  std::copy_backward(bar, bar + behind, line.end());
  fmt::format_to(bar, "{:{}}[{:#<{}}{:.<{}}]", "", gap, "", full, "", cells - full);
}

std::string summary_text(const RunSummary& summary, bool colour) {
  std::string text = fmt::format(
      "\n{} after {}, {}, in {}\n", styled(summary.status, style_of(summary.status), colour),
      counted(summary.epochs_done, "epoch"), counted(summary.steps_done, "step"), duration(summary.seconds));
  const auto add = [&](std::string_view name, const std::string& value) {
    text += header_line(name, value, colour);
  };
  if (!summary.detail.empty()) add("why", summary.detail);
  if (summary.status.starts_with("stopped")) add("to go on", "lockstep resume " + summary.folder);
  if (summary.best && summary.best->val_accuracy) {
    const EpochRecord& best = *summary.best;
    add("best", fmt::format("epoch {}: validation accuracy {}, loss {}", best.epoch,
                            percent(*best.val_accuracy), best.val_loss ? loss_text(*best.val_loss) : "-"));
  }
  add("start", fmt::format("{} to the first step, at most {} of memory a rank",
                           duration(summary.startup_seconds), bytes(summary.peak_memory_bytes)));
  if (!summary.weights.empty()) add("weights", summary.weights);
  if (!summary.folder.empty()) add("folder", summary.folder);
  // Last, so that two people can compare by eye.
  if (!summary.weights_digest.empty()) add("digest", summary.weights_digest);
  return text;
}

}  // namespace lockstep::metrics
