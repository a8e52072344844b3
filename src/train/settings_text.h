#pragma once

#include <string>

#include "config/experiment.h"

/// Settings in words, for the header of a run and for plans.
namespace lockstep::train {

/// "shift up to 2 pixels, rotate up to 10°, zoom up to 0.1"; "none" where all limits are 0.
std::string text_of(const config::Augment& augment);
/// "of the weights after each epoch from 6 on; it is validated and saved".
std::string text_of(const config::Average& average);

}  // namespace lockstep::train
