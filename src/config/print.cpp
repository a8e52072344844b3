#include "config/print.h"

#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "config/describe_experiment.h"
#include "config/yaml_tree.h"

namespace lockstep::config {
namespace {

/// Builds the mapping that the parser turns into the same struct.
class Writer {
 public:
  template <class T, class Rule>
  void operator()(const Key& key, const T& member, const Rule& rule) {
    if constexpr (requires { rule.omits(member); })
      if (rule.omits(member)) return;
    add(key.name, rule.encode(member));
  }

  template <class T>
  void operator()(const Key& key, const T& section) {
    add(key.name, write(section));
  }
  template <class T>
  void operator()(const Key& key, const std::optional<T>& section) {
    if (section) add(key.name, write(*section));
  }
  template <class... Ts>
  void operator()(const Key& key, const std::variant<Ts...>& member) {
    Writer writer;
    writer.one_of(member);
    add(key.name, writer.as_word_or_mapping());
  }
  void operator()(const Key& key, const std::vector<Layer>& layers) { add(key.name, write_list(layers)); }
  void operator()(const Key& key, const std::vector<fault::Fault>& faults) {
    if (!faults.empty()) add(key.name, write_list(faults));
  }

  template <class... Ts>
  void one_of(const std::variant<Ts...>& member) {
    std::visit([this]<class T>(const T& value) { add(Description<T>::name, write_alternative(value)); },
               member);
  }

  template <class T>
  static Node write(const T& section) {
    Writer writer;
    Description<T>::fields(writer, section);
    return mapping_node(std::move(writer.entries_));
  }

 private:
  template <class T>
  static Node write_alternative(const T& value) {
    Node mapping = write(value);
    if constexpr (BareValue<T>) return std::move(mapping.entries.front().value);
    return mapping;
  }

  template <class Item>
  static Node write_list(const std::vector<Item>& list) {
    std::vector<Node> items;
    for (const Item& item : list) items.push_back(write_item(item));
    return sequence_node(std::move(items));
  }

  template <class Item>
  static Node write_item(const Item& item) {
    Writer keys;
    Description<Item>::fields(keys, item);
    Writer kind;
    std::visit(
        [&]<class T>(const T& spec) {
          Description<T>::fields(keys, spec);
          kind.add(Description<T>::name, mapping_node(std::move(keys.entries_)));
        },
        item.spec);
    return kind.as_word_or_mapping();
  }

  /// `zeros` instead of `zeros: {}`.
  Node as_word_or_mapping() {
    const Node& only = entries_.front().value;
    if (only.kind == Node::Kind::mapping && only.entries.empty()) return scalar_node(entries_.front().key);
    return mapping_node(std::move(entries_));
  }

  void add(std::string_view key, Node value) { entries_.push_back({std::string(key), {}, std::move(value)}); }

  std::vector<Entry> entries_;
};

}  // namespace

std::string print(const Experiment& experiment) {
  return emit_document(Writer::write(experiment));
}

}  // namespace lockstep::config
