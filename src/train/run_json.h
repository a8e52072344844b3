#pragma once

#include <optional>
#include <string>

/// Single values of the JSON that runs record.
namespace lockstep::train {

/// What is under a key: a text as it is, anything else as JSON. Nothing when `json` is no object, or lacks
/// it.
std::optional<std::string> json_value(const std::string& json, const char* key);

/// The same of a file; nothing also when it cannot be read.
std::optional<std::string> json_value_of_file(const std::string& path, const char* key);

}  // namespace lockstep::train
