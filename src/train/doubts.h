#pragma once

#include <string>
#include <vector>

#include "train/blueprint.h"

namespace lockstep::train {

/// What an experiment may say, but hardly means: a sentence for each, with the settings to look at.
std::vector<std::string> doubts(const Blueprint& blueprint);

}  // namespace lockstep::train
