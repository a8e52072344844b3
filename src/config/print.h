#pragma once

#include <string>

#include "config/experiment.h"

namespace lockstep::config {

/// The experiment as YAML with every default spelled out. parse(print(e)) gives e again.
std::string print(const Experiment& experiment);

}  // namespace lockstep::config
