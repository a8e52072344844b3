#pragma once

#include <filesystem>

namespace lockstep::cli {

/// Prints an overview of a run's folder: the experiment, how it ended, its epochs, where it ran, its weights.
/// What is missing (a run may still go on) is said. Error(no_input) when the folder holds no run,
/// Error(bad_data) when one of its files is damaged.
void print_run(const std::filesystem::path& folder);

}  // namespace lockstep::cli
