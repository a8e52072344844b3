#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/problems.h"

/// YAML as plain values that remember where they were written. yaml-cpp parses; this tree keeps what its own
/// nodes lose: duplicate keys, the place of every key, whether a scalar was quoted.
namespace lockstep::config {

/// Written for a mapping that may be left out.
inline constexpr std::string_view nothing = "none";

struct Entry;

struct Node {
  enum class Kind : std::uint8_t { null, scalar, sequence, mapping };

  Kind kind = Kind::null;
  std::string text;            ///< of a scalar
  bool quoted = false;         ///< a scalar that can only be text
  std::vector<Node> items;     ///< of a sequence
  std::vector<Entry> entries;  ///< of a mapping, in order, keys unique
  Place place;

  [[nodiscard]] Entry* find(std::string_view key);
  [[nodiscard]] const Entry* find(std::string_view key) const;
};

struct Entry {
  std::string key;
  Place place;  ///< of the key
  Node value;
};

Node scalar_node(std::string text);
Node sequence_node(std::vector<Node> items);
Node mapping_node(std::vector<Entry> entries);

/// A bare word as the mapping that it abbreviates: `relu` is `relu: {}`. Both parts keep the word's place.
Node mapping_of_word(const Node& word);

/// What a person would call the value, for messages: "'ten'", "a list", "a mapping", "nothing".
std::string name_of_value(const Node& node);

/// The value of one YAML document; empty text is null. Aliases are expanded. Syntax errors, second documents,
/// duplicate or odd keys, tags, and documents too deep or too large to be an experiment are added to
/// `problems`; after a syntax error there is no value.
///
/// `origin` is the place of the text as a whole; when it is an override, so is every place in the tree.
std::optional<Node> parse_yaml(std::string_view text, const Place& origin, Problems& problems);

/// The tree as YAML: sections and the list of layers as blocks, what they hold as flow, one line each.
std::string emit_document(const Node& node);

/// The value on one line, as in `{uniform: 0.1}`.
std::string emit_inline(const Node& node);

}  // namespace lockstep::config
