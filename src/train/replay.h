#pragma once

#include <cstdint>
#include <string>

#include "train/compared_run.h"

namespace lockstep::train {

/// A run computed again up to a step, with a digest after each.
struct Replay {
  std::string folder;   ///< of the new run, beside the old one
  std::string command;  ///< for a shell, with the ranks and the instruction set that the old one had then
};

/// From a checkpoint, or from the start where `checkpoint` is empty, with the data where they are now. The
/// folder's name is free, though not reserved. `program` is how this program is called.
Replay replay_of(const ComparedRun& run, const std::string& program, const std::string& checkpoint,
                 std::int64_t until);

/// A word as a shell takes it: quoted where it has to be.
std::string shell_word(const std::string& word);

}  // namespace lockstep::train
