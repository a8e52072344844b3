#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "config/describe_experiment.h"
#include "config/mapping_keys.h"
#include "config/overrides.h"

/// The visitor that fills structs from YAML. Whatever a description does not allow is reported; the member
/// then keeps its default.
namespace lockstep::config {

template <class T>
void read(Reading& reading, const Node& node, const std::string& path, T& section);
template <class T>
void read(Reading& reading, const Node& node, const std::string& path, std::optional<T>& section);
template <class... Ts>
void read(Reading& reading, const Node& node, const std::string& path, std::variant<Ts...>& member);
void read(Reading& reading, const Node& node, const std::string& path, std::vector<Layer>& layers);
void read(Reading& reading, const Node& node, const std::string& path, std::vector<fault::Fault>& faults);

/// Why a value may not be what it looks like.
inline std::string_view hint_about(const Node& node) {
  if (has_leading_zero(node.text)) return " (leave out leading zeros)";
  if (node.text.starts_with('~')) return " ('~' is not expanded: write the path out)";
  return "";
}

template <class T, class Rule>
void read_value(Reading& reading, const Node& node, const std::string& path, T& member, const Rule& rule) {
  reading.provenance.said_at(path, node.place);
  if (const std::optional<T> value = rule.decode(node)) {
    member = *value;
  } else {
    reading.report(path, node.place,
                   fmt::format("{} must be {}, found {}{}", path, rule.expectation(), name_of_value(node),
                               hint_about(node)));
  }
}

/// True if the node can hold keys. `hint` goes behind the message if not.
inline bool expect_mapping(Reading& reading, const Node& node, const std::string& path,
                           std::string_view hint = "") {
  reading.provenance.said_at(path, node.place);
  if (node.kind == Node::Kind::mapping) return true;
  reading.report(path, node.place,
                 fmt::format("{} must be a mapping of keys to values, found {}{}",
                             path.empty() ? "an experiment" : path, name_of_value(node), hint));
  return false;
}

class MappingReader {
 public:
  explicit MappingReader(MappingKeys& keys) : keys_(keys) {}

  template <class T, class Rule>
  void operator()(const Key& key, T& member, const Rule& rule) {
    if (const Entry* entry = keys_.take(key.name))
      read_value(keys_.reading(), entry->value, keys_.path_of(key.name), member, rule);
    else if (key.required)
      keys_.lacks(key.name, rule.expectation());
  }

  template <class T>
  void operator()(const Key& key, T& member) {
    if (const Entry* entry = keys_.take(key.name))
      read(keys_.reading(), entry->value, keys_.path_of(key.name), member);
    else if (key.required)
      keys_.lacks(key.name, key.effect);
  }

  /// Reads the alternative whose name is the first such key of the mapping. With none the variant stays as it
  /// is, and the result is false.
  template <class... Ts>
  bool one_of(std::variant<Ts...>& member) {
    const Entry* chosen = nullptr;
    for_each_alternative(&member, [&]<class T>(const T* /*type*/) {
      const Entry* entry = keys_.take(Description<T>::name);
      if (entry != nullptr && (chosen == nullptr || entry < chosen)) chosen = entry;
    });
    for_each_alternative(&member, [&]<class T>(const T* /*type*/) {
      const Entry* entry = keys_.find(Description<T>::name);
      if (entry == chosen && entry != nullptr) {
        read_alternative(keys_.reading(), entry->value, keys_.path_of(entry->key),
                         member.template emplace<T>());
      } else if (entry != nullptr) {
        keys_.refuse_second(*chosen, *entry, VariantNoun<std::variant<Ts...>>::text);
      }
    });
    return chosen != nullptr;
  }

 private:
  /// The single value of a BareValue.
  struct BareReader {
    Reading& reading;
    const Node& node;
    const std::string& path;

    template <class T, class Rule>
    void operator()(const Key& key, T& member, const Rule& rule) {
      if (node.kind == Node::Kind::mapping && node.entries.empty())
        reading.report(path, node.place,
                       fmt::format("{} needs its value, {}, as in {{{}: {}}}", path, rule.expectation(),
                                   key.name, emit_inline(rule.encode(member))));
      else
        read_value(reading, node, path, member, rule);
    }
  };

  template <class T>
  static void read_alternative(Reading& reading, const Node& node, const std::string& path, T& value) {
    if constexpr (BareValue<T>) {
      BareReader reader{reading, node, path};
      Description<T>::fields(reader, value);
    } else {
      read(reading, node, path, value);
    }
  }

  MappingKeys& keys_;
};

template <class T>
void read(Reading& reading, const Node& node, const std::string& path, T& section) {
  const bool is_word = Abbreviated<T> && node.kind == Node::Kind::scalar;
  const Node mapping = is_word ? mapping_of_word(node) : node;
  if (!expect_mapping(reading, mapping, path)) return;
  MappingKeys keys(reading, mapping, path);
  MappingReader reader(keys);
  Description<T>::fields(reader, section);
  keys.finish("key");
}

template <class T>
void read(Reading& reading, const Node& node, const std::string& path, std::optional<T>& section) {
  if (node.kind == Node::Kind::scalar && node.text == nothing) {
    reading.provenance.said_at(path, node.place);
    section.reset();
  } else {
    read(reading, node, path, section.emplace());
  }
}

template <class... Ts>
void read(Reading& reading, const Node& node, const std::string& path, std::variant<Ts...>& member) {
  const Node mapping = node.kind == Node::Kind::scalar ? mapping_of_word(node) : node;
  if (!expect_mapping(reading, mapping, path)) return;
  MappingKeys keys(reading, mapping, path);
  MappingReader reader(keys);
  if (!reader.one_of(member)) keys.lacks_alternative();
  keys.finish(VariantNoun<std::variant<Ts...>>::text);
}

}  // namespace lockstep::config
