#pragma once

#include <fmt/format.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "config/experiment.h"
#include "config/yaml_tree.h"

/// What a key takes. A rule has
///   expectation()   the values it takes, as a noun phrase for messages and documentation;
///   decode(node)    the value, or nothing when the node does not meet the expectation;
///   encode(value)   the node that decode() turns into this value.
/// `omits(value)`, where a rule has it, says that a value is written by leaving the key out.
namespace lockstep::config {

/// Decimal digits with an optional sign; no leading zeros, which some read as octal, and no separators.
template <std::integral Int>
std::optional<Int> parse_integer(std::string_view text);
extern template std::optional<std::int64_t> parse_integer(std::string_view text);
extern template std::optional<std::uint64_t> parse_integer(std::string_view text);

/// Decimal, with or without point and exponent; finite.
std::optional<double> parse_number(std::string_view text);

/// "007" and "-01", but not "0" or "0.5".
bool has_leading_zero(std::string_view text);

/// A whole number within [least, most].
template <std::integral Int>
struct Integers {
  Int least, most;

  [[nodiscard]] std::string expectation() const {
    return fmt::format("an integer from {} to {}", least, most);
  }
  [[nodiscard]] std::optional<Int> decode(const Node& node) const {
    if (node.kind != Node::Kind::scalar || node.quoted) return std::nullopt;
    const std::optional<Int> value = parse_integer<Int>(node.text);
    return value && least <= *value && *value <= most ? value : std::nullopt;
  }
  [[nodiscard]] static Node encode(Int value) { return scalar_node(fmt::format("{}", value)); }
};

struct PowersOfTwo {
  std::int64_t least, most;

  [[nodiscard]] std::string expectation() const;
  [[nodiscard]] std::optional<std::int64_t> decode(const Node& node) const;
  [[nodiscard]] static Node encode(std::int64_t value);
};

/// `auto`, which is 0, or a count within [1, most].
struct CountOrAuto {
  std::int64_t most;

  [[nodiscard]] std::string expectation() const;
  [[nodiscard]] std::optional<std::int64_t> decode(const Node& node) const;
  [[nodiscard]] static Node encode(std::int64_t value);
};

/// `auto`, which is -1, or an index within [0, most].
struct IndexOrAuto {
  std::int64_t most;

  [[nodiscard]] std::string expectation() const;
  [[nodiscard]] std::optional<std::int64_t> decode(const Node& node) const;
  [[nodiscard]] static Node encode(std::int64_t value);
};

/// `auto`, which is the empty list, or a list of at least one index within [0, most].
struct IndicesOrAuto {
  std::int64_t most;

  [[nodiscard]] std::string expectation() const;
  [[nodiscard]] std::optional<std::vector<std::int64_t>> decode(const Node& node) const;
  [[nodiscard]] static Node encode(const std::vector<std::int64_t>& value);
};

/// A finite number between two bounds, each of which belongs to the range or not.
struct Numbers {
  struct Bound {
    double value;
    bool included;
  };
  Bound lower, upper;

  [[nodiscard]] std::string expectation() const;
  [[nodiscard]] std::optional<double> decode(const Node& node) const;
  [[nodiscard]] static Node encode(double value);
};
constexpr Numbers::Bound at_least(double value) {
  return {value, true};
}
constexpr Numbers::Bound above(double value) {
  return {value, false};
}
constexpr Numbers::Bound at_most(double value) {
  return {value, true};
}
constexpr Numbers::Bound below(double value) {
  return {value, false};
}

struct Truth {
  [[nodiscard]] static std::string expectation() { return "true or false"; }
  [[nodiscard]] static std::optional<bool> decode(const Node& node);
  [[nodiscard]] static Node encode(bool value) { return scalar_node(value ? "true" : "false"); }
};

/// Text without control characters or spaces around it.
struct Text {
  std::string_view what;  ///< "the path of a data set"

  [[nodiscard]] std::string expectation() const { return std::string(what); }
  [[nodiscard]] static std::optional<std::string> decode(const Node& node);
  [[nodiscard]] static Node encode(const std::string& value) { return scalar_node(value); }
};

/// Text that does not begin with '~': nothing here expands it, and what was meant for the user's home would
/// end up in a folder of that name.
struct Path {
  std::string_view what;  ///< "the path of a file"

  [[nodiscard]] std::string expectation() const { return std::string(what); }
  [[nodiscard]] static std::optional<std::string> decode(const Node& node);
  [[nodiscard]] static Node encode(const std::string& value) { return scalar_node(value); }
};

/// A name that is also a part of a path. It begins with a letter, so that it never looks like a layer's
/// index; with `dots`, which are for folders, with any character that neither hides it nor makes it look like
/// an option.
struct Name {
  bool dots = false;

  [[nodiscard]] std::string expectation() const;
  [[nodiscard]] std::optional<std::string> decode(const Node& node) const;
  [[nodiscard]] static Node encode(const std::string& value) { return scalar_node(value); }
  [[nodiscard]] static bool omits(const std::string& value) { return value.empty(); }
};

/// One word for each value of an enumeration.
template <class Enum, std::size_t count>
struct Choices {
  std::array<std::pair<Enum, std::string_view>, count> words;

  [[nodiscard]] std::string expectation() const {
    std::string list;
    for (std::size_t i = 0; i < count; ++i)
      list += fmt::format("{}{}", i == 0 ? "" : i + 1 == count ? " or " : ", ", words[i].second);
    return list;
  }
  [[nodiscard]] std::optional<Enum> decode(const Node& node) const {
    if (node.kind != Node::Kind::scalar) return std::nullopt;
    for (const auto& [value, word] : words)
      if (word == node.text) return value;
    return std::nullopt;
  }
  [[nodiscard]] Node encode(Enum value) const {
    for (const auto& [candidate, word] : words)
      if (candidate == value) return scalar_node(std::string(word));
    check(false, "every value of an enumeration in an experiment has a word");
    return {};
  }
};
template <class Enum, std::size_t count>
constexpr Choices<Enum, count> choices(const std::pair<Enum, std::string_view> (&words)[count]) {
  return {std::to_array(words)};
}

/// Height and width: one number for both, or [height, width].
struct Extents {
  std::int64_t least, most;

  [[nodiscard]] std::string expectation() const;
  [[nodiscard]] std::optional<Extent2> decode(const Node& node) const;
  [[nodiscard]] static Node encode(const Extent2& value);
  /// {0, 0} stands for a default that depends on other keys.
  [[nodiscard]] static bool omits(const Extent2& value) { return value == Extent2{}; }
};

/// [first, end), at least one row.
struct RowRange {
  [[nodiscard]] static std::string expectation();
  [[nodiscard]] static std::optional<Rows> decode(const Node& node);
  [[nodiscard]] static Node encode(const Rows& value);
  [[nodiscard]] static bool omits(const Rows& value) { return value.all(); }
};

/// valid, same, one number for all sides, or [top, bottom, left, right].
struct Paddings {
  std::int64_t most;

  [[nodiscard]] std::string expectation() const;
  [[nodiscard]] std::optional<Padding> decode(const Node& node) const;
  [[nodiscard]] static Node encode(const Padding& value);
};

}  // namespace lockstep::config
