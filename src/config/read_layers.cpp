#include <fmt/format.h>

#include "config/reader.h"

namespace lockstep::config {
namespace {

/// Reads the layer if it is of kind T.
template <class T>
void read_kind(Reading& reading, const Node& node, const std::string& path, Layer& layer) {
  if (!expect_mapping(reading, node, path)) return;
  MappingKeys keys(reading, node, path);
  MappingReader reader(keys);
  Description<Layer>::fields(reader, layer);
  T spec{};
  Description<T>::fields(reader, spec);
  if constexpr (requires { spec.size; })
    if (spec.stride == Extent2{}) spec.stride = spec.size;
  layer.spec = std::move(spec);
  keys.finish("key");
}

/// Keys next to the kind instead of inside it, mostly a matter of indentation.
void refuse_siblings(Reading& reading, const Node& layer, const Entry& kind, const std::string& path) {
  for (const Entry& entry : layer.entries)
    if (&entry != &kind)
      reading.report(path, entry.place,
                     fmt::format("'{}' stands beside '{}': indent it further if it is a key of {}, or begin "
                                 "another layer with '- '",
                                 entry.key, kind.key, kind.key));
}

void read_layer(Reading& reading, const Node& node, const std::string& path, Layer& layer) {
  const Node mapping = node.kind == Node::Kind::scalar ? mapping_of_word(node) : node;
  layer.mark = node.place.mark;
  if (!expect_mapping(reading, mapping, path)) return;

  MappingKeys kinds(reading, mapping, path);
  const Entry* kind = nullptr;
  for_each_alternative(&layer.spec, [&]<class T>(const T* /*type*/) {
    const Entry* entry = kinds.take(Description<T>::name);
    if (entry != nullptr && (kind == nullptr || entry < kind)) kind = entry;
  });
  if (kind == nullptr) {
    kinds.lacks_alternative();
    kinds.finish(VariantNoun<LayerSpec>::text);
    return;
  }
  if (mapping.entries.size() > 1) return refuse_siblings(reading, mapping, *kind, path);
  for_each_alternative(&layer.spec, [&]<class T>(const T* /*type*/) {
    if (kind->key == Description<T>::name) read_kind<T>(reading, kind->value, path, layer);
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
  const std::vector<std::string> names = layer_names(node);
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    Layer& layer = layers.emplace_back();
    read_layer(reading, node.items[i], fmt::format("{}.{}", path, i), layer);
    if (layer.name.empty()) layer.name = names[i];
  }
}

}  // namespace lockstep::config
