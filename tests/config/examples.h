#pragma once

#include <string>
#include <vector>

#include "config/experiment.h"

namespace lockstep::config {

/// The least that an experiment must say.
extern const std::string minimal;

/// The minimal experiment with `text` in place of `section`, a whole line or block at its top level.
std::string minimal_with(const std::string& section, const std::string& text);

Experiment parse_text(const std::string& text, const std::vector<std::string>& overrides = {});

/// The lines of the report that parsing ends in; empty when all is well. The text is called "x.yaml".
std::vector<std::string> problems_of(const std::string& text, const std::vector<std::string>& overrides = {});

}  // namespace lockstep::config
