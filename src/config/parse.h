#pragma once

#include <span>
#include <string>
#include <string_view>

#include "config/experiment.h"

namespace lockstep::config {

/// Reads an experiment from YAML text, with `overrides` of the form "training.epochs=3" applied on top.
///
/// Strict: every unknown, duplicate, mistyped, out-of-range or missing key is found in one pass, and all of
/// them are reported in one Error(ExitCode::bad_config), a line each: "FILE:LINE:COLUMN: …, did you mean …?".
/// An override's place is the override itself. `source` names the text in messages and is kept in
/// Experiment::source.
Experiment parse(std::string_view text, const std::string& source, std::span<const std::string> overrides);

/// The text of the file. Error(no_input) if there is none, it is a folder or cannot be read.
std::string read_text(const std::string& path);

}  // namespace lockstep::config
