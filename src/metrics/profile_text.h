#pragma once

#include <string>

#include "metrics/record.h"

namespace lockstep::metrics {

/// Two tables, each with its newlines: a line for each thread of each rank, a line for each layer.
std::string profile_text(const ProfileRecord& record, bool colour);

}  // namespace lockstep::metrics
