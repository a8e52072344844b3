#include "config/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

namespace lockstep::config {
namespace {

// An experiment nests six deep and holds a few hundred values; aliases of aliases could blow up a small file.
constexpr std::size_t deepest = 64;
constexpr std::size_t most_values = 20'000;

struct Extent {
  std::size_t height = 1;
  std::size_t values = 1;
};

Extent measure(const Node& node) {
  Extent total;
  const auto include = [&total](const Node& child) {
    const Extent part = measure(child);
    total.height = std::max(total.height, part.height + 1);
    total.values += part.values;
  };
  for (const Node& item : node.items) include(item);
  for (const Entry& entry : node.entries) include(entry.value);
  return total;
}

/// Builds the tree of one document from yaml-cpp's events.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const Place& origin, Problems& problems) : origin_(origin), problems_(problems) {}

  Node take_root() { return std::move(root_); }
  [[nodiscard]] const Place& start() const { return start_; }

  [[nodiscard]] Place place(const YAML::Mark& mark) const {
    Place here = origin_;
    if (!origin_.in_override() && !mark.is_null()) here.mark = {mark.line + 1, mark.column + 1};
    return here;
  }

  void OnDocumentStart(const YAML::Mark& mark) override { start_ = place(mark); }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    count(1, mark);
    add(make(Node::Kind::null, mark), anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    count(1, mark);
    refuse_tag(tag, mark);
    Node node = make(Node::Kind::scalar, mark);
    node.text = text;
    node.quoted = tag == "!";
    add(std::move(node), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto anchored = anchored_.find(anchor);
    if (anchored == anchored_.end())
      throw YAML::ParserException(mark, "this alias refers to the value that it is a part of");
    const Extent extent = measure(anchored->second);
    limit_depth(stack_.size() + extent.height, mark);
    count(extent.values, mark);
    add(anchored->second, YAML::NullAnchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(Node::Kind::sequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(Node::Kind::mapping, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  /// A sequence or mapping whose end has not come yet.
  struct Open {
    Node node;
    YAML::anchor_t anchor = YAML::NullAnchor;
    std::optional<Node> key = std::nullopt;  ///< of the value that comes next
  };

  [[nodiscard]] Node make(Node::Kind kind, const YAML::Mark& mark) const {
    Node node;
    node.kind = kind;
    node.place = place(mark);
    return node;
  }

  static void limit_depth(std::size_t depth, const YAML::Mark& mark) {
    if (depth > deepest) throw YAML::ParserException(mark, fmt::format("nested more than {} deep", deepest));
  }

  void count(std::size_t values, const YAML::Mark& mark) {
    values_ += values;
    if (values_ > most_values)
      throw YAML::ParserException(mark, fmt::format("more than {} values", most_values));
  }

  void refuse_tag(const std::string& tag, const YAML::Mark& mark) {
    if (!tag.empty() && tag != "?" && tag != "!")
      problems_.add(place(mark), "tags such as '!!int' mean nothing in an experiment: leave it out");
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    count(1, mark);
    refuse_tag(tag, mark);
    limit_depth(stack_.size() + 1, mark);
    stack_.push_back({.node = make(kind, mark), .anchor = anchor});
  }

  void close() {
    Open done = std::move(stack_.back());
    stack_.pop_back();
    add(std::move(done.node), done.anchor);
  }

  /// A value is complete: it goes into the innermost open sequence or mapping, or is the document.
  void add(Node node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchored_[anchor] = node;
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == Node::Kind::sequence) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.key) {
      parent.key = std::move(node);
    } else {
      add_entry(parent.node, *parent.key, std::move(node));
      parent.key.reset();
    }
  }

  void add_entry(Node& mapping, const Node& key, Node value) {
    if (key.kind != Node::Kind::scalar) {
      problems_.add(key.place, fmt::format("a key must be a word, found {}", name_of_value(key)));
    } else if (const Entry* first = mapping.find(key.text)) {
      problems_.add(key.place, fmt::format("duplicate key '{}', first given at {}", key.text,
                                           problems_.name_of(first->place)));
    } else {
      mapping.entries.push_back({key.text, key.place, std::move(value)});
    }
  }

  Place origin_;
  Problems& problems_;
  Node root_;
  Place start_;
  std::vector<Open> stack_;
  std::map<YAML::anchor_t, Node> anchored_;  ///< complete values only
  std::size_t values_ = 0;
};

/// yaml-cpp says "illegal map value" to a tab used as indentation, which is what people get wrong most.
bool tab_indents_line(std::string_view text, int line) {
  for (int skipped = 0; skipped < line; ++skipped) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  const std::size_t first = text.find_first_not_of(' ');
  return first != std::string_view::npos && text[first] == '\t';
}

template <class NodeType>
auto* find_entry(NodeType& mapping, std::string_view key) {
  const auto found = std::ranges::find(mapping.entries, key, &Entry::key);
  return found == mapping.entries.end() ? nullptr : &*found;
}

}  // namespace

Entry* Node::find(std::string_view key) {
  return find_entry(*this, key);
}

const Entry* Node::find(std::string_view key) const {
  return find_entry(*this, key);
}

Node scalar_node(std::string text) {
  Node node;
  node.kind = Node::Kind::scalar;
  node.text = std::move(text);
  return node;
}

Node sequence_node(std::vector<Node> items) {
  Node node;
  node.kind = Node::Kind::sequence;
  node.items = std::move(items);
  return node;
}

Node mapping_node(std::vector<Entry> entries) {
  Node node;
  node.kind = Node::Kind::mapping;
  node.entries = std::move(entries);
  return node;
}

Node mapping_of_word(const Node& word) {
  Node nothing = mapping_node({});
  nothing.place = word.place;
  Node mapping = mapping_node({{word.text, word.place, std::move(nothing)}});
  mapping.place = word.place;
  return mapping;
}

std::string name_of_value(const Node& node) {
  constexpr std::size_t longest = 60;
  switch (node.kind) {
    case Node::Kind::null:
      return "nothing";
    case Node::Kind::sequence:
      return "a list";
    case Node::Kind::mapping:
      return "a mapping";
    case Node::Kind::scalar:
      break;
  }
  return fmt::format("{}'{}{}'", node.quoted ? "the text " : "", node.text.substr(0, longest),
                     node.text.size() > longest ? "…" : "");
}

std::optional<Node> parse_yaml(std::string_view text, const Place& origin, Problems& problems) {
  TreeBuilder first(origin, problems);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    parser.HandleNextDocument(first);
    Problems of_others("", {});
    TreeBuilder second(origin, of_others);
    if (parser.HandleNextDocument(second))
      problems.add(second.start(), "a second YAML document starts here: one experiment, one document");
  } catch (const YAML::ParserException& error) {
    const bool tab = !error.mark.is_null() && tab_indents_line(text, error.mark.line);
    problems.add(first.place(error.mark),
                 fmt::format("not valid YAML: {}{}", error.msg,
                             tab ? " (this line is indented by a tab: use spaces)" : ""));
    return std::nullopt;
  }
  return first.take_root();
}

}  // namespace lockstep::config
