#include "config/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>
#include <utility>
#include <vector>

namespace lockstep::config {
namespace {

constexpr std::size_t longest_name = 100;

bool is_digit(char c) {
  return '0' <= c && c <= '9';
}
bool is_letter(char c) {
  return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z');
}

/// Removes the digits at the front of `text`, and returns how many there were.
std::size_t skip_digits(std::string_view& text) {
  const auto end = std::ranges::find_if_not(text, is_digit);
  const auto count = static_cast<std::size_t>(end - text.begin());
  text.remove_prefix(count);
  return count;
}

bool skip_one_of(std::string_view& text, std::string_view characters) {
  if (text.empty() || characters.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

/// from_chars takes no '+', and yaml numbers may have one.
std::string_view without_plus(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  return text;
}

template <class Value>
std::optional<Value> parse_whole(std::string_view text) {
  text = without_plus(text);
  Value value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The values of a list, each within [least, most].
std::optional<std::vector<std::int64_t>> decode_list(const Node& node, Integers<std::int64_t> each) {
  if (node.kind != Node::Kind::sequence) return std::nullopt;
  std::vector<std::int64_t> values;
  for (const Node& item : node.items) {
    const std::optional<std::int64_t> value = each.decode(item);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

/// The same of exactly `count`.
std::optional<std::vector<std::int64_t>> decode_list(const Node& node, std::size_t count,
                                                     Integers<std::int64_t> each) {
  return node.items.size() == count ? decode_list(node, each) : std::nullopt;
}

Node encode_list(const std::vector<std::int64_t>& values) {
  std::vector<Node> items;
  for (const std::int64_t value : values) items.push_back(scalar_node(fmt::format("{}", value)));
  return sequence_node(std::move(items));
}

/// One number when all are equal.
Node encode_extents(const std::vector<std::int64_t>& values) {
  const bool all_equal = std::ranges::count(values, values.front()) == std::ssize(values);
  return all_equal ? Integers<std::int64_t>::encode(values.front()) : encode_list(values);
}

}  // namespace

bool has_leading_zero(std::string_view text) {
  skip_one_of(text, "+-");
  return text.size() > 1 && text[0] == '0' && is_digit(text[1]);
}

template <std::integral Int>
std::optional<Int> parse_integer(std::string_view text) {
  std::string_view rest = text;
  skip_one_of(rest, "+-");
  if (skip_digits(rest) == 0 || !rest.empty() || has_leading_zero(text)) return std::nullopt;
  return parse_whole<Int>(text);
}
template std::optional<std::int64_t> parse_integer(std::string_view text);
template std::optional<std::uint64_t> parse_integer(std::string_view text);

std::optional<double> parse_number(std::string_view text) {
  std::string_view rest = text;
  skip_one_of(rest, "+-");
  std::size_t digits = skip_digits(rest);
  if (skip_one_of(rest, ".")) digits += skip_digits(rest);
  if (digits == 0 || has_leading_zero(text)) return std::nullopt;
  if (skip_one_of(rest, "eE")) {
    skip_one_of(rest, "+-");
    if (skip_digits(rest) == 0) return std::nullopt;
  }
  return rest.empty() ? parse_whole<double>(text) : std::nullopt;
}

std::string PowersOfTwo::expectation() const {
  return fmt::format("a power of two from {} to {}", least, most);
}

std::optional<std::int64_t> PowersOfTwo::decode(const Node& node) const {
  const auto value = Integers<std::int64_t>{least, most}.decode(node);
  return value && (*value & (*value - 1)) == 0 ? value : std::nullopt;
}

Node PowersOfTwo::encode(std::int64_t value) {
  return Integers<std::int64_t>::encode(value);
}

std::string CountOrAuto::expectation() const {
  return fmt::format("auto or an integer from 1 to {}", most);
}

std::optional<std::int64_t> CountOrAuto::decode(const Node& node) const {
  if (node.kind == Node::Kind::scalar && node.text == "auto") return 0;
  return Integers<std::int64_t>{1, most}.decode(node);
}

Node CountOrAuto::encode(std::int64_t value) {
  return value == 0 ? scalar_node("auto") : Integers<std::int64_t>::encode(value);
}

std::string IndexOrAuto::expectation() const {
  return fmt::format("auto or an integer from 0 to {}", most);
}

std::optional<std::int64_t> IndexOrAuto::decode(const Node& node) const {
  if (node.kind == Node::Kind::scalar && node.text == "auto") return -1;
  return Integers<std::int64_t>{0, most}.decode(node);
}

Node IndexOrAuto::encode(std::int64_t value) {
  return value == -1 ? scalar_node("auto") : Integers<std::int64_t>::encode(value);
}

std::string IndicesOrAuto::expectation() const {
  return fmt::format("auto or a list, not empty, of integers from 0 to {}", most);
}

std::optional<std::vector<std::int64_t>> IndicesOrAuto::decode(const Node& node) const {
  if (node.kind == Node::Kind::scalar && node.text == "auto") return std::vector<std::int64_t>{};
  auto indices = decode_list(node, Integers<std::int64_t>{0, most});
  return indices && !indices->empty() ? indices : std::nullopt;
}

Node IndicesOrAuto::encode(const std::vector<std::int64_t>& value) {
  return value.empty() ? scalar_node("auto") : encode_list(value);
}

std::string Numbers::expectation() const {
  if (lower.included && upper.included)
    return fmt::format("a number from {} to {}", lower.value, upper.value);
  return fmt::format("a number {} {} and {} {}", lower.included ? "of at least" : "above", lower.value,
                     upper.included ? "at most" : "below", upper.value);
}

std::optional<double> Numbers::decode(const Node& node) const {
  if (node.kind != Node::Kind::scalar || node.quoted) return std::nullopt;
  const std::optional<double> value = parse_number(node.text);
  if (!value) return std::nullopt;
  const bool high_enough = lower.included ? *value >= lower.value : *value > lower.value;
  const bool low_enough = upper.included ? *value <= upper.value : *value < upper.value;
  return high_enough && low_enough ? value : std::nullopt;
}

Node Numbers::encode(double value) {
  return scalar_node(fmt::format("{}", value));
}

std::optional<bool> Truth::decode(const Node& node) {
  if (node.kind != Node::Kind::scalar || node.quoted) return std::nullopt;
  if (node.text == "true") return true;
  if (node.text == "false") return false;
  return std::nullopt;
}

std::optional<std::string> Text::decode(const Node& node) {
  if (node.kind != Node::Kind::scalar || node.text.empty()) return std::nullopt;
  if (node.text.front() == ' ' || node.text.back() == ' ') return std::nullopt;
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
  if (std::ranges::any_of(node.text, is_control)) return std::nullopt;
  return node.text;
}

std::optional<std::string> Path::decode(const Node& node) {
  return node.text.starts_with('~') ? std::nullopt : Text::decode(node);
}

std::string Name::expectation() const {
  return fmt::format("a name of letters, digits, {}, at most {} long",
                     dots ? "'_', '-' and '.' that begins with neither '-' nor '.'"
                          : "'_' and '-' that begins with a letter",
                     longest_name);
}

std::optional<std::string> Name::decode(const Node& node) const {
  const std::string& text = node.text;
  if (node.kind != Node::Kind::scalar || text.empty() || text.size() > longest_name) return std::nullopt;
  const bool begins_well = is_letter(text[0]) || (dots && (is_digit(text[0]) || text[0] == '_'));
  const auto allowed = [this](char c) {
    return is_letter(c) || is_digit(c) || c == '_' || c == '-' || (dots && c == '.');
  };
  return begins_well && std::ranges::all_of(text, allowed) ? std::optional(text) : std::nullopt;
}

std::string Extents::expectation() const {
  return fmt::format("an integer from {} to {}, or two of them as [height, width]", least, most);
}

std::optional<Extent2> Extents::decode(const Node& node) const {
  const Integers<std::int64_t> each{least, most};
  if (const auto both = each.decode(node)) return Extent2{*both, *both};
  if (const auto list = decode_list(node, 2, each)) return Extent2{(*list)[0], (*list)[1]};
  return std::nullopt;
}

Node Extents::encode(const Extent2& value) {
  return encode_extents({value[0], value[1]});
}

std::string RowRange::expectation() {
  return "two integers as [first, end], where end is the row behind the last";
}

std::optional<Rows> RowRange::decode(const Node& node) {
  const auto list = decode_list(node, 2, {0, std::numeric_limits<std::int64_t>::max()});
  if (!list || (*list)[0] >= (*list)[1]) return std::nullopt;
  return Rows{(*list)[0], (*list)[1]};
}

Node RowRange::encode(const Rows& value) {
  return encode_list({value.begin, value.end});
}

std::string Paddings::expectation() const {
  return fmt::format("valid, same, an integer from 0 to {}, or four of them as [top, bottom, left, right]",
                     most);
}

std::optional<Padding> Paddings::decode(const Node& node) const {
  if (node.kind == Node::Kind::scalar && node.text == "valid") return Padding{};
  if (node.kind == Node::Kind::scalar && node.text == "same") return Padding{.kind = Padding::Kind::same};
  const Integers<std::int64_t> each{0, most};
  if (const auto all = each.decode(node)) return Padding{Padding::Kind::numbers, *all, *all, *all, *all};
  if (const auto list = decode_list(node, 4, each))
    return Padding{Padding::Kind::numbers, (*list)[0], (*list)[1], (*list)[2], (*list)[3]};
  return std::nullopt;
}

Node Paddings::encode(const Padding& value) {
  switch (value.kind) {
    case Padding::Kind::valid:
      return scalar_node("valid");
    case Padding::Kind::same:
      return scalar_node("same");
    case Padding::Kind::numbers:
      break;
  }
  return encode_extents({value.top, value.bottom, value.left, value.right});
}

}  // namespace lockstep::config
