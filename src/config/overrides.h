#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/yaml_tree.h"

namespace lockstep::config {

/// Changes the experiment `root` by overrides "key.path=value", in their order. The value is YAML and
/// replaces what was there; mappings that are missing are made. Layers are named by name or index
/// ("model.fc1.units", "model.0.filters"), and so are faults. Places in what an override brings are that
/// override. What cannot be applied is added to `problems`; whether keys and values mean anything is for the
/// parser to say.
void apply_overrides(Node& root, std::span<const std::string> overrides, Problems& problems);

/// The name of each layer or fault in an experiment's list of them: as given, or its kind and how many of the
/// kind there are up to it, counted from 1. Empty for what is neither.
std::vector<std::string> item_names(const Node& list);

/// The first `segments` of the path that an override sets: "optimizer" for "optimizer.adamw.beta1=0" and 1.
std::string_view override_prefix(std::string_view override_text, std::size_t segments);

}  // namespace lockstep::config
