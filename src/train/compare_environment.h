#pragma once

#include <string>
#include <vector>

#include "train/compare_settings.h"

namespace lockstep::train {

/// What differs between two runs' environment.json, by whether it can change the bits of the results.
struct EnvironmentDifferences {
  std::vector<SetupDifference> arithmetic;  ///< build, libraries, device, processors, their variables
  std::vector<SetupDifference> layout;      ///< ranks, threads, exchange, hosts
};

/// Of the texts of the two files. `name_*` is for messages: Error(bad_data) for what is no JSON object.
EnvironmentDifferences compare_environments(const std::string& json_a, const std::string& name_a,
                                            const std::string& json_b, const std::string& name_b);

}  // namespace lockstep::train
