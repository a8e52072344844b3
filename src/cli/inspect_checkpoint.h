#pragma once

#include <string>

namespace lockstep::cli {

/// Prints what a checkpoint holds. `verify`: also compares all of its values with their checksums.
/// Error(no_input or bad_data) when it cannot be read or is damaged.
void print_checkpoint(const std::string& path, bool verify);

/// Prints a line for each checkpoint of a run's folder `checkpoints`, oldest first; nothing where there is
/// none. Of one that is damaged, what is wrong.
void print_checkpoints(const std::string& folder);

}  // namespace lockstep::cli
