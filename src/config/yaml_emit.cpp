#include <yaml-cpp/emitter.h>

#include "base/check.h"
#include "config/yaml_tree.h"

namespace lockstep::config {
namespace {

void emit_flow(YAML::Emitter& out, const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      out << YAML::Null;
      return;
    case Node::Kind::scalar:
      out << node.text;
      return;
    case Node::Kind::sequence:
      out << YAML::Flow << YAML::BeginSeq;
      for (const Node& item : node.items) emit_flow(out, item);
      out << YAML::EndSeq;
      return;
    case Node::Kind::mapping:
      out << YAML::Flow << YAML::BeginMap;
      for (const Entry& entry : node.entries) {
        out << YAML::Key << entry.key << YAML::Value;
        emit_flow(out, entry.value);
      }
      out << YAML::EndMap;
      return;
  }
}

/// A line for each entry or item, `levels` deep; below that, flow.
void emit_block(YAML::Emitter& out, const Node& node, int levels) {
  if (levels == 0 || (node.items.empty() && node.entries.empty())) return emit_flow(out, node);
  if (node.kind == Node::Kind::sequence) {
    out << YAML::Block << YAML::BeginSeq;
    // An item's own mapping stays on the line of its dash: "- conv2d: {…}".
    for (const Node& item : node.items) emit_block(out, item, levels);
    out << YAML::EndSeq;
  } else {
    out << YAML::Block << YAML::BeginMap;
    for (const Entry& entry : node.entries) {
      out << YAML::Key << entry.key << YAML::Value;
      emit_block(out, entry.value, levels - 1);
    }
    out << YAML::EndMap;
  }
}

std::string text_of(const YAML::Emitter& out) {
  check(out.good(), "every tree can be written as YAML");
  return out.c_str();
}

}  // namespace

std::string emit_document(const Node& node) {
  YAML::Emitter out;
  emit_block(out, node, 2);
  return text_of(out) + "\n";
}

std::string emit_inline(const Node& node) {
  YAML::Emitter out;
  emit_flow(out, node);
  return text_of(out);
}

}  // namespace lockstep::config
