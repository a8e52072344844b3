#include "train/compare_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "config/overrides.h"
#include "config/yaml_tree.h"

namespace lockstep::train {
namespace {

using config::Entry;
using config::Node;

bool are(Node::Kind kind, const Node* a, const Node* b) {
  return a != nullptr && b != nullptr && a->kind == kind && b->kind == kind;
}

const Node* value_in(const Node& mapping, const std::string& key) {
  const Entry* entry = mapping.find(key);
  return entry == nullptr ? nullptr : &entry->value;
}

/// The keys of `a`, then those that only `b` has.
std::vector<std::string> keys_of(const Node& a, const Node& b) {
  std::vector<std::string> keys;
  for (const Entry& entry : a.entries) keys.push_back(entry.key);
  for (const Entry& entry : b.entries)
    if (a.find(entry.key) == nullptr) keys.push_back(entry.key);
  return keys;
}

/// The layers by their names, each as {kind: settings}.
Node by_name(const Node& layers) {
  const std::vector<std::string> names = config::item_names(layers);
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < names.size(); ++i) entries.push_back({names[i], {}, layers.items[i]});
  return config::mapping_node(std::move(entries));
}

/// The names, in order, of the layers that `other` has too.
std::string common_names(const Node& layers, const Node& other) {
  std::string names;
  for (const Entry& layer : layers.entries)
    if (other.find(layer.key) != nullptr) names += (names.empty() ? "" : ", ") + layer.key;
  return names;
}

class Comparison {
 public:
  void compare(const std::string& path, const Node* a, const Node* b) {
    if (are(Node::Kind::mapping, a, b)) {
      for (const std::string& key : keys_of(*a, *b))
        compare(path.empty() ? key : fmt::format("{}.{}", path, key), value_in(*a, key), value_in(*b, key));
    } else if (are(Node::Kind::sequence, a, b) && path == "model") {
      compare_models(by_name(*a), by_name(*b));
    } else {
      add(path, a, b);
    }
  }

  std::vector<SetupDifference> take() { return std::move(found_); }

 private:
  void compare_models(const Node& a, const Node& b) {
    const std::string order_a = common_names(a, b), order_b = common_names(b, a);
    if (order_a != order_b) found_.push_back({"model", order_a, order_b});
    for (const std::string& name : keys_of(a, b))
      compare_layer("model." + name, value_in(a, name), value_in(b, name));
  }

  /// Settings of two layers of one kind have the paths that overrides have: "model.conv1.filters".
  void compare_layer(const std::string& path, const Node* a, const Node* b) {
    const bool of_one_kind = are(Node::Kind::mapping, a, b) && !a->entries.empty() && !b->entries.empty() &&
                             a->entries.front().key == b->entries.front().key;
    if (of_one_kind)
      compare(path, &a->entries.front().value, &b->entries.front().value);
    else
      add(path, a, b);
  }

  void add(const std::string& path, const Node* a, const Node* b) {
    const auto text = [](const Node* node) {
      return node == nullptr ? std::nullopt : std::optional(config::emit_inline(*node));
    };
    if (text(a) != text(b)) found_.push_back({path, text(a), text(b)});
  }

  std::vector<SetupDifference> found_;
};

}  // namespace

Node parse_experiment(const std::string& yaml, const std::string& path) {
  config::Problems problems(path, {});
  try {
    const auto node = config::parse_yaml(yaml, {}, problems);
    problems.throw_if_any();
    return *node;
  } catch (const Error& error) {
    // What a run recorded is data here: there is no experiment file for the user to mend.
    throw Error(ExitCode::bad_data, error.what());
  }
}

std::vector<SetupDifference> compare_settings(const Node& a, const Node& b) {
  Comparison comparison;
  comparison.compare("", &a, &b);
  return comparison.take();
}

bool changes_results(std::string_view key) {
  return std::ranges::none_of(settings_without_influence, [&](std::string_view other) {
    return key.starts_with(other) && (key.size() == other.size() || key[other.size()] == '.');
  });
}

}  // namespace lockstep::train
