#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "train/compare_settings.h"

namespace lockstep::train {

/// What a run did without a stop: from its start, or from where it went on.
struct Session {
  std::int64_t after = 0;   ///< steps that were done before it
  std::string environment;  ///< JSON: where and with what it ran
  std::string file;         ///< which says so, for messages
};

/// What differs between the environments of two runs, by whether it can change the bits of the results.
struct EnvironmentDifferences {
  std::vector<SetupDifference> arithmetic;  ///< data, device, build, libraries, processors, their variables
  std::vector<SetupDifference> layout;      ///< ranks, threads, exchange, hosts
};

/// Of the sessions of each, which ascend. A value that changes reads "3, from step 801 on 2". Error(bad_data)
/// naming the file for what is no JSON object.
EnvironmentDifferences compare_environments(std::span<const Session> a, std::span<const Session> b);

}  // namespace lockstep::train
