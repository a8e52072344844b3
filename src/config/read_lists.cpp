#include <fmt/format.h>

#include "config/reader.h"

/// The lists of an experiment, of layers and of faults: an item is its kind, with its settings if it has any.
namespace lockstep::config {
namespace {

/// Whether an item of kind T would do with its first key alone, if that had this value: visits descriptions.
struct FirstKey {
  const Node& value;
  std::string_view name = "";
  bool suits = false;

  template <class T, class Rule>
  void operator()(const Key& key, const T& /*member*/, const Rule& rule) {
    if (name.empty()) {
      name = key.name;
      suits = rule.decode(value).has_value();
    } else {
      suits = suits && !key.required;
    }
  }
  template <class T>
  void operator()(const Key& key, const T& /*member*/) {
    suits = suits && !key.required;
  }
};

/// ": did you mean {dense: {units: 10}}?" of a layer that was given as 'dense: 10'.
template <class T, class Item>
std::string with_its_key(const Node& value, Item& item) {
  T spec{};
  FirstKey first{value};
  Description<T>::fields(first, spec);
  if (!first.suits) return "";  // or it has no keys
  Description<Item>::fields(first, item);
  if (!first.suits) return "";  // the item has one that must be there
  return fmt::format(": did you mean {{{}: {{{}: {}}}}}?", Description<T>::name, first.name,
                     emit_inline(value));
}

/// Reads the item if it is of kind T.
template <class T, class Item>
void read_kind(Reading& reading, const Node& node, const std::string& path, Item& item) {
  const std::string hint = node.kind == Node::Kind::scalar ? with_its_key<T>(node, item) : "";
  if (!expect_mapping(reading, node, path, hint)) return;
  MappingKeys keys(reading, node, path);
  MappingReader reader(keys);
  Description<Item>::fields(reader, item);
  T spec{};
  Description<T>::fields(reader, spec);
  if constexpr (requires { spec.size; })
    if (spec.stride == Extent2{}) spec.stride = spec.size;
  item.spec = std::move(spec);
  keys.finish("key");
}

/// Keys next to the kind instead of inside it, mostly a matter of indentation.
void refuse_siblings(Reading& reading, const Node& item, const Entry& kind, const std::string& path,
                     std::string_view noun) {
  for (const Entry& entry : item.entries)
    if (&entry != &kind)
      reading.report(path, entry.place,
                     fmt::format("'{}' stands beside '{}': indent it further if it is a key of {}, or begin "
                                 "another {} with '- '",
                                 entry.key, kind.key, kind.key, noun));
}

template <class Item>
void read_item(Reading& reading, const Node& node, const std::string& path, Item& item) {
  constexpr std::string_view noun = VariantNoun<decltype(item.spec)>::text;
  const Node mapping = node.kind == Node::Kind::scalar ? mapping_of_word(node) : node;
  if (!expect_mapping(reading, mapping, path)) return;

  MappingKeys kinds(reading, mapping, path);
  const Entry* kind = nullptr;
  for_each_alternative(&item.spec, [&]<class T>(const T* /*type*/) {
    const Entry* entry = kinds.take(Description<T>::name);
    if (entry != nullptr && (kind == nullptr || entry < kind)) kind = entry;
  });
  if (kind == nullptr) {
    kinds.lacks_alternative();
    kinds.finish(noun);
    return;
  }
  if (mapping.entries.size() > 1) return refuse_siblings(reading, mapping, *kind, path, noun);
  for_each_alternative(&item.spec, [&]<class T>(const T* /*type*/) {
    if (kind->key == Description<T>::name) read_kind<T>(reading, kind->value, path, item);
  });
}

}  // namespace

void read(Reading& reading, const Node& node, const std::string& path, std::vector<Layer>& layers) {
  reading.provenance.said_at(path, node.place);
  if (node.kind != Node::Kind::sequence || node.items.empty()) {
    reading.report(path, node.place,
                   fmt::format("{} must be a list of at least one layer, found {}", path,
                               node.kind == Node::Kind::sequence ? "none" : name_of_value(node)));
    return;
  }
  const std::vector<std::string> names = item_names(node);
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    Layer& layer = layers.emplace_back();
    layer.mark = node.items[i].place.mark;
    read_item(reading, node.items[i], fmt::format("{}.{}", path, i), layer);
    if (layer.name.empty()) layer.name = names[i];
  }
}

void read(Reading& reading, const Node& node, const std::string& path, std::vector<fault::Fault>& faults) {
  reading.provenance.said_at(path, node.place);
  if (node.kind != Node::Kind::sequence) {
    reading.report(path, node.place,
                   fmt::format("{} must be a list of faults, found {}", path, name_of_value(node)));
    return;
  }
  for (std::size_t i = 0; i < node.items.size(); ++i)
    read_item(reading, node.items[i], fmt::format("{}.{}", path, i), faults.emplace_back());
}

}  // namespace lockstep::config
