#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/experiment.h"

namespace lockstep::config {

/// A key that two experiments do not agree on.
struct Difference {
  std::string key;     ///< dotted, layers by their index: "model.0.conv2d.filters"
  std::string first;   ///< its value as YAML on one line; empty: the key is not there
  std::string second;  ///< likewise
};

/// In the order of the keys, those of the first experiment before what only the second has.
std::vector<Difference> differences(const Experiment& first, const Experiment& second);

/// Whether another value of this key can give another result: false for where results go, how many threads
/// compute, what is checked and saved on the way, and where the data lie.
bool changes_results(std::string_view key);

}  // namespace lockstep::config
