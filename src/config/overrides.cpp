#include "config/overrides.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "config/suggest.h"

namespace lockstep::config {
namespace {

struct Override {
  std::vector<std::string_view> path;
  std::string_view value;
};

/// Nothing when it is not of the form "a.b=c".
std::optional<Override> split(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  Override parts{.path = {}, .value = text.substr(equals + 1)};
  for (std::string_view rest = text.substr(0, equals);;) {
    const std::size_t dot = rest.find('.');
    const std::string_view segment = rest.substr(0, dot);
    if (segment.empty() || segment.find_first_of(" \t\n") != std::string_view::npos) return std::nullopt;
    parts.path.push_back(segment);
    if (dot == std::string_view::npos) return parts;
    rest.remove_prefix(dot + 1);
  }
}

Node empty_mapping(const Place& place) {
  Node node = mapping_node({});
  node.place = place;
  return node;
}

/// Makes `node` a mapping so that an override can set a key of it. A bare word becomes the key that it
/// abbreviates, but for `none`; other values cannot have keys, and the parser will say so at the override's
/// place.
void make_mapping(Node& node, const Place& place) {
  if (node.kind == Node::Kind::mapping) return;
  const bool is_word = node.kind == Node::Kind::scalar && node.text != nothing;
  node = is_word ? mapping_of_word(node) : empty_mapping(place);
  node.place = place;
}

Node& child(Node& mapping, std::string_view key, const Place& place) {
  if (Entry* entry = mapping.find(key)) return entry->value;
  mapping.entries.push_back({std::string(key), place, empty_mapping(place)});
  return mapping.entries.back().value;
}

/// The kind of an item of a list, and its mapping of keys.
const Entry* kind_of(const Node& item) {
  return item.kind == Node::Kind::mapping && !item.entries.empty() ? &item.entries.front() : nullptr;
}

/// A list at the top level of an experiment, as messages call it.
struct List {
  std::string_view key, owner, noun;
};
constexpr std::array<List, 2> lists = {
    {{"model", "the model", "layer"}, {"faults", "the experiment", "fault"}}};

/// The item that a segment names, or nothing, with a problem added.
Node* find_item(Node& list, const List& what, std::string_view segment, const Place& place,
                Problems& problems) {
  const std::vector<std::string> names = item_names(list);
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(segment.data(), segment.data() + segment.size(), index);
  if (error == std::errc{} && end == segment.data() + segment.size()) {
    if (index < list.items.size()) return &list.items[index];
    problems.add(place, list.items.empty()
                            ? fmt::format("{} has no {}s", what.owner, what.noun)
                            : fmt::format("there is no {} {}: {}'s {}s are 0 to {}", what.noun, segment,
                                          what.owner, what.noun, list.items.size() - 1));
    return nullptr;
  }
  if (const auto found = std::ranges::find(names, segment); found != names.end())
    return &list.items[static_cast<std::size_t>(found - names.begin())];

  const std::vector<std::string_view> words(names.begin(), names.end());
  const std::string_view near = nearest(segment, words);
  problems.add(place,
               fmt::format("there is no {} '{}', {}", what.noun, segment,
                           near.empty() ? fmt::format("the {}s are {}", what.noun, join_words(words, "and"))
                                        : fmt::format("did you mean '{}'?", near)));
  return nullptr;
}

/// The mapping that holds the item's keys.
Node& item_keys(Node& item, const Place& place) {
  make_mapping(item, place);
  if (item.entries.empty()) return item;
  Node& keys = item.entries.front().value;
  if (keys.kind == Node::Kind::null) keys = empty_mapping(place);
  make_mapping(keys, place);
  return keys;
}

/// The node that the override replaces, made if need be; null, with a problem added, when there is no such
/// item of a list.
Node* locate(Node& root, const Override& change, Place place, Problems& problems) {
  Node* node = &root;
  const auto* list = std::ranges::find(lists, change.path[0], &List::key);
  for (std::size_t i = 0; i < change.path.size(); ++i) {
    const std::string_view segment = change.path[i];
    place.depth = i + 1;
    if (i == 1 && list != lists.end() && node->kind == Node::Kind::sequence) {
      node = find_item(*node, *list, segment, place, problems);
      if (node == nullptr) return nullptr;
      if (i + 1 < change.path.size()) node = &item_keys(*node, place);
    } else {
      make_mapping(*node, place);
      node = &child(*node, segment, place);
    }
  }
  return node;
}

}  // namespace

void apply_overrides(Node& root, std::span<const std::string> overrides, Problems& problems) {
  for (std::size_t i = 0; i < overrides.size(); ++i) {
    const Place place{.override_index = static_cast<int>(i), .depth = 0, .mark = {}};
    const std::optional<Override> change = split(overrides[i]);
    if (!change) {
      problems.add(place, "an override has the form key.path=value, as in training.epochs=3");
      continue;
    }
    std::optional<Node> value = parse_yaml(change->value, place, problems);
    if (!value) continue;
    value->place = place;
    if (Node* target = locate(root, *change, place, problems)) *target = std::move(*value);
  }
}

std::vector<std::string> item_names(const Node& list) {
  std::vector<std::string> names;
  std::map<std::string, int> count_of_kind;
  for (const Node& item : list.items) {
    const Entry* kind = kind_of(item);
    if (kind == nullptr && item.kind != Node::Kind::scalar) {
      names.emplace_back();
      continue;
    }
    const std::string& kind_name = kind != nullptr ? kind->key : item.text;
    const int count = ++count_of_kind[kind_name];
    const Entry* given = kind != nullptr ? kind->value.find("name") : nullptr;
    names.push_back(given != nullptr ? given->value.text : fmt::format("{}_{}", kind_name, count));
  }
  return names;
}

std::string_view override_prefix(std::string_view override_text, std::size_t segments) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < segments && end != std::string_view::npos; ++i)
    end = override_text.find_first_of(".=", i == 0 ? 0 : end + 1);
  return override_text.substr(0, end);
}

}  // namespace lockstep::config
