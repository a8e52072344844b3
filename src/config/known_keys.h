#pragma once

#include <string>
#include <vector>

namespace lockstep::config {

/// One key of an experiment file, for documentation.
struct KeyDoc {
  /// Dotted, as in "training.epochs". Keys of a kind of layer stand below the kind, "model.conv2d.filters"; a
  /// key that every layer has is "model.*.name"; initialisers, which several keys take, stand below "init".
  std::string path;
  std::string values;         ///< what it takes: "an integer from 1 to 4096"
  std::string unit;           ///< empty: none
  std::string default_value;  ///< as YAML or in words; "required" when it has to be given
  std::string effect;
};

/// Every key that a file may have, parents before children, in the order in which they are printed.
std::vector<KeyDoc> known_keys();

}  // namespace lockstep::config
