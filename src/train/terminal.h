#pragma once

#include "config/experiment.h"
#include "io/file_descriptor.h"

namespace lockstep::train {

/// The terminal that what this process prints ends up on, as far as one can know.
///
/// Under mpirun a rank's standard output is a terminal of mpirun's own making, always, so isatty() tells
/// nothing: what counts is the standard output of the mpirun that forwards it. That is looked up in /proc
/// when mpirun runs on this host. In doubt there is no terminal: ranks started by a daemon (of another host,
/// of a batch system), an mpirun that marks lines or writes files, another user's processes.
class Terminal {
 public:
  /// None.
  Terminal() = default;
  /// The one behind this process's standard output, if any.
  static Terminal of_standard_output();

  [[nodiscard]] bool exists() const { return static_cast<bool>(descriptor_); }
  /// A person may be watching, and lines can be redrawn: TERM is set, and not to "dumb".
  [[nodiscard]] bool is_interactive() const { return interactive_; }
  /// Where to print what is for a person: the terminal itself where there is one, else standard output. Open
  /// MPI 5's mpirun passes on whole lines only, so through it a live line would never arrive.
  [[nodiscard]] int output() const;
  /// Columns at this moment; 0 where unknown.
  [[nodiscard]] int width() const;

 private:
  explicit Terminal(io::FileDescriptor descriptor);

  bool interactive_ = false;
  io::FileDescriptor descriptor_;
};

/// Whether a live line is wanted: as the experiment says; if it leaves that open, on a terminal.
bool wants_progress(config::Progress setting, const Terminal& terminal);

/// Whether colours are wanted: on a terminal, unless NO_COLOR is set and not empty (no-color.org).
bool wants_colour(const Terminal& terminal);

}  // namespace lockstep::train
