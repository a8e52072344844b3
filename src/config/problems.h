#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "config/experiment.h"

namespace lockstep::config {

/// Where something was said: in the experiment file, or in an override from the command line.
struct Place {
  int override_index = -1;  ///< which override; -1: in the file, at `mark`
  std::size_t depth =
      0;  ///< of a key that an override's path made: how many segments lead to it, itself included
  Mark mark;

  [[nodiscard]] bool in_override() const { return override_index >= 0; }
};

/// Everything that is wrong with an experiment, gathered to be reported at once.
class Problems {
 public:
  /// `source` names the experiment file in messages.
  Problems(std::string source, std::vector<std::string> overrides);

  /// Control characters in the message become '?', so that it stays one line.
  void add(const Place& place, std::string message);
  /// Throws Error(bad_config): a line for each problem, in the order of their places, the file's first.
  void throw_if_any() const;

  /// "FILE:LINE:COLUMN", or "override 'training.epochs=x'".
  [[nodiscard]] std::string name_of(const Place& place) const;
  [[nodiscard]] const std::string& override_text(const Place& place) const {
    return overrides_[static_cast<std::size_t>(place.override_index)];
  }

 private:
  struct Problem {
    Place place;
    std::string message;
  };

  std::string source_;
  std::vector<std::string> overrides_;
  std::vector<Problem> problems_;
};

}  // namespace lockstep::config
