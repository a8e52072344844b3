#pragma once

#include <string>

#include "support/temporary_folder.h"

namespace lockstep::testing {

/// A terminal of 100 columns and 40 lines in which a script for the shell runs, in a tmux server of its own,
/// which ends with this object.
class Tmux {
 public:
  explicit Tmux(const std::string& script);
  ~Tmux();
  Tmux(const Tmux&) = delete;
  Tmux& operator=(const Tmux&) = delete;

  /// What stands on it at this moment.
  [[nodiscard]] std::string screen() const;

 private:
  TemporaryFolder folder_;
};

}  // namespace lockstep::testing
