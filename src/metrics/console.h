#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "metrics/sink.h"

namespace lockstep::metrics {

struct ConsoleOptions {
  bool progress = false;        ///< redraw a line within the epoch
  bool colour = false;          ///< ANSI escape sequences
  std::function<int()> width;   ///< columns of the terminal now; 0 where unknown; none given: unknown
  std::function<double()> now;  ///< seconds of a clock that never goes back; none given: the steady clock
};

/// What a person sees of a run: a header, a row for each epoch, a live line within it, a summary. Plain
/// ASCII.
///
/// Invariant: the live line is always the last one, shorter than the terminal, and taken away before
/// anything else is printed. An output that can no longer be written (a full disk, a pipe whose reader left)
/// never ends a training: it is reported once on standard error and then left alone; SIGPIPE does not arise.
class Console : public Sink {
 public:
  /// `descriptor` is borrowed, and written to without a buffer.
  Console(int descriptor, ConsoleOptions options);
  ~Console() override;  ///< takes the live line away
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void begin(const RunHeader& header) override;
  void step(const StepRecord& record) override;
  void epoch(const EpochRecord& record) override;
  void end(const RunSummary& summary) override;

 private:
  void write(std::string_view text);
  [[nodiscard]] int columns() const;
  [[nodiscard]] std::string erased() const;  ///< what takes the live line away

  int descriptor_;
  ConsoleOptions options_;
  bool broken_ = false;
  bool has_validation_ = false;
  bool has_heads_ = false;
  std::size_t live_ = 0;               ///< characters of the live line
  std::optional<double> last_update_;  ///< time of its last drawing
};

}  // namespace lockstep::metrics
