#include "config/difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/check.h"
#include "config/print.h"
#include "config/yaml_tree.h"

namespace lockstep::config {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;  // by dotted key, in order

std::string below(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

/// Values that hold no further keys.
void flatten(const std::string& path, const Node& node, Values& values) {
  const bool is_layers = node.kind == Node::Kind::sequence && path == "model";
  if (node.kind == Node::Kind::mapping && !node.entries.empty()) {
    for (const Entry& entry : node.entries) flatten(below(path, entry.key), entry.value, values);
  } else if (is_layers) {
    for (std::size_t i = 0; i < node.items.size(); ++i)
      flatten(below(path, fmt::format("{}", i)), node.items[i], values);
  } else {
    values.emplace_back(path, emit_inline(node));
  }
}

Values values_of(const Experiment& experiment) {
  Problems problems("", {});
  const auto tree = parse_yaml(print(experiment), {}, problems);
  check(tree.has_value(), "what print() writes can be read");
  Values values;
  flatten("", *tree, values);
  return values;
}

}  // namespace

std::vector<Difference> differences(const Experiment& first, const Experiment& second) {
  const Values ours = values_of(first);
  const Values theirs = values_of(second);
  const std::map<std::string, std::string> in_first(ours.begin(), ours.end());
  const std::map<std::string, std::string> in_second(theirs.begin(), theirs.end());
  std::vector<Difference> found;
  for (const auto& [key, value] : ours) {
    const auto other = in_second.find(key);
    if (other == in_second.end())
      found.push_back({key, value, ""});
    else if (other->second != value)
      found.push_back({key, value, other->second});
  }
  for (const auto& [key, value] : theirs)
    if (!in_first.contains(key)) found.push_back({key, "", value});
  return found;
}

bool changes_results(std::string_view key) {
  constexpr std::array<std::string_view, 9> harmless{"output.",
                                                     "checkpoint.",
                                                     "checks.",
                                                     "digests.",
                                                     "faults",
                                                     "device.threads",
                                                     "training.watchdog_seconds",
                                                     "data.train.file",
                                                     "data.validation.file"};
  return std::ranges::none_of(harmless, [&](std::string_view prefix) { return key.starts_with(prefix); });
}

}  // namespace lockstep::config
