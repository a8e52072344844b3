#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::layering {

/// What is wrong with the includes of one file of src/, as "file:line: message". `path` is relative to src/,
/// e.g. "comm/world.cpp", and decides what the file may include: its own folder and the folders on lower
/// levels, and of the libraries that one folder wraps for all others, only its own.
std::vector<std::string> broken_include_rules(const std::string& path, std::string_view text);

}  // namespace lockstep::layering
