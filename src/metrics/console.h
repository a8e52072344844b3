#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "io/file_descriptor.h"
#include "metrics/sink.h"

namespace lockstep::metrics {

struct ConsoleOptions {
  bool progress = false;        ///< redraw a line within the epoch
  bool colour = false;          ///< ANSI escape sequences
  std::function<int()> width;   ///< columns of the terminal now; 0 where unknown; none given: unknown
  std::function<double()> now;  ///< seconds of a clock that never goes back; none given: the steady clock
  std::optional<bool> is_terminal{};  ///< where the output ends up; none given: as isatty() says
};

/// What a person sees of a run: a header, a row for each epoch, a live line within it, a summary. Plain
/// ASCII.
///
/// Invariant: the live line is always the last one, shorter than the terminal, and taken away before
/// anything else is printed. An output that can no longer be written (a full disk, a pipe whose reader left)
/// never ends a training: it is reported once on standard error and then left alone; SIGPIPE does not arise.
///
/// Nor does a terminal ever hold a training up, however long it is paused (Ctrl-S) or not read: the live line
/// is left out unless it is taken at once, and all else is kept, in order, until the terminal takes it. At
/// the end that is waited for, for two seconds. A pipe and a file get every row, and are waited for.
class Console : public Sink {
 public:
  /// `descriptor` is borrowed, and written to without a buffer of its own.
  Console(int descriptor, ConsoleOptions options);
  ~Console() override;  ///< takes the live line away, and prints what is kept, as at the end
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void begin(const RunHeader& header) override;
  void step(const StepRecord& record) override;
  void epoch(const EpochRecord& record) override;
  void profile(const ProfileRecord& record) override;
  void end(const RunSummary& summary) override;

 private:
  using Patience = std::optional<std::chrono::milliseconds>;  // as in quiet_write()

  void print(std::string_view text, Patience patience);
  void print_kept(Patience patience);
  void draw(std::string_view line);
  void note(int error);
  [[nodiscard]] Patience of_a_row() const;
  [[nodiscard]] Patience at_the_end() const;
  [[nodiscard]] int columns() const;
  [[nodiscard]] std::string erased() const;  ///< what takes the live line away

  io::FileDescriptor terminal_;  ///< opened without blocking; empty: no terminal, or another user's
  int descriptor_;
  bool is_terminal_;
  ConsoleOptions options_;
  bool broken_ = false;
  bool has_validation_ = false;
  bool has_heads_ = false;
  std::string kept_;                   ///< what the output has not taken yet
  std::size_t live_ = 0;               ///< characters of the live line, at most
  std::optional<double> last_update_;  ///< time of its last drawing
};

}  // namespace lockstep::metrics
