// What must hold for each key that there is. The keys come from known_keys(), the texts from print(), so a
// new key is tested from the moment that it is described.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "config/known_keys.h"
#include "config/print.h"
#include "examples.h"
#include "key_places.h"

namespace lockstep::config {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

/// Experiments, as printed, that have every key between them.
std::vector<std::string> full_experiments() {
  const std::vector<std::string> schedules = {"constant: {}", "step: {}", "exponential: {}", "cosine: {}",
                                              "linear: {}"};
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < schedules.size(); ++i) {
    const std::string optimizer = i % 2 == 0 ? "{sgd: {momentum: 0.9}}" : "adamw";
    const std::string text = fmt::format(
        "name: full\n"
        "data:\n"
        "  train: {{file: a, images: b, labels: c, rows: [0, 5]}}\n"
        "  validation: {{file: a, images: b, labels: c, rows: [5, 9]}}\n"
        "  augment: {{shift: 1}}\n"
        "model:\n"
        "  - conv2d: {{filters: 2, kernel: 3, padding: 1, init: {{uniform: 0.1}}, bias_init: {{constant: "
        "1}}}}\n"
        "  - conv2d: {{filters: 2, kernel: 3, padding: same, init: he_normal, bias_init: {{normal: 1}}}}\n"
        "  - max_pool: {{size: 2}}\n"
        "  - avg_pool: {{size: [2, 3]}}\n"
        "  - flatten\n"
        "  - dense: {{units: 4, init: he_uniform, bias_init: zeros}}\n"
        "  - relu\n"
        "  - tanh\n"
        "  - sigmoid\n"
        "  - dropout\n"
        "  - dense: {{units: 4, init: glorot_normal, bias_init: glorot_uniform}}\n"
        "optimizer: {}\n"
        "schedule: {{{}, warmup_steps: 2}}\n"
        "training: {{epochs: 1, batch: 2, average: {{from_epoch: 1}}}}\n"
        "output: {{name: here}}\n"
        "faults:\n"
        "  - flip: {{rank: 0, target: gradient}}\n"
        "  - kill: {{rank: 1}}\n"
        "  - stall: {{rank: 1, place: compute}}\n"
        "  - nan: {{rank: 1}}\n"
        "  - io_error: {{rank: 1}}\n"
        "  - miscompute: {{rank: 1}}\n",
        optimizer, schedules[i]);
    texts.push_back(print(parse_text(text)));
  }
  return texts;
}

std::string value_of(const std::string& text, const KeyPlace& key) {
  return text.substr(key.value_begin, key.value_end - key.value_begin);
}

std::string key_of(const std::string& text, const KeyPlace& key) {
  return text.substr(key.key_begin, text.find(':', key.key_begin) - key.key_begin);
}

bool is_top(const KeyPlace& key) {
  return key.path.find('.') == std::string::npos;
}
/// Of a layer or a fault.
bool is_kind(const KeyPlace& key) {
  return (key.doc_path.starts_with("model.") || key.doc_path.starts_with("faults.")) &&
         std::ranges::count(key.doc_path, '.') == 1;
}
bool is_line(const std::string& text, const KeyPlace& key) {
  return key.key_begin >= 2 && text.substr(key.key_begin - 2, 2) == "  ";
}

/// The text with everything of a key taken out.
std::string without(const std::string& text, const KeyPlace& key) {
  std::size_t begin = key.key_begin;
  std::size_t end = key.value_end;
  if (is_top(key)) {
    do end = text.find('\n', end) + 1;
    while (end < text.size() && text[end] == ' ');
  } else if (is_line(text, key)) {
    begin -= 2;
    ++end;
    // A section goes with its only key.
    const std::size_t line_before = text.rfind('\n', begin - 2) + 1;
    if (text[line_before] != ' ' && text.compare(end, 1, " ") != 0) begin = line_before;
  } else if (text[end] == ',') {
    end += 2;
  } else if (text[begin - 1] == ' ') {
    begin -= 2;
  }
  return text.substr(0, begin) + text.substr(end);
}

TEST(every_key, is_printed_and_nothing_else_is) {
  std::set<std::string> printed;
  for (const std::string& text : full_experiments())
    for (const KeyPlace& key : find_keys(text)) {
      printed.insert(key.doc_path);
      const std::string value = value_of(text, key);
      if (key.path.ends_with("init") && value[0] != '{') printed.insert(fmt::format("init.{}", value));
    }
  std::set<std::string> known;
  for (const KeyDoc& key : known_keys())
    EXPECT_TRUE(known.insert(key.path).second) << key.path << " is listed twice";
  EXPECT_EQ(printed, known);
}

TEST(every_key, is_documented) {
  for (const KeyDoc& key : known_keys()) {
    EXPECT_FALSE(key.values.empty()) << key.path;
    EXPECT_GT(key.effect.size(), 5U) << key.path;
    EXPECT_EQ((key.values + key.unit + key.default_value + key.effect).find('|'), std::string::npos)
        << key.path;
  }
}

TEST(every_key, with_a_value_of_the_wrong_type_is_one_problem_at_the_value) {
  for (const std::string& text : full_experiments())
    for (const KeyPlace& key : find_keys(text)) {
      if (key.is_block(text)) continue;
      std::string wrong = text;
      wrong.replace(key.value_begin, key.value_end - key.value_begin, "[[wrong]]");
      EXPECT_THAT(
          problems_of(wrong),
          ElementsAre(AllOf(StartsWith(fmt::format("{}: {}", place_name(text, key.value_begin), key.path)),
                            HasSubstr(" must be "), EndsWith(", found a list"))))
          << wrong;
    }
}

TEST(every_key, overridden_with_a_wrong_type_is_one_problem_of_the_override) {
  for (const std::string& text : full_experiments())
    for (const KeyPlace& key : find_keys(text)) {
      const std::string change = key.path + "=[[wrong]]";
      const std::vector<std::string> problems = problems_of(text, {change});
      EXPECT_THAT(problems, ElementsAre(AllOf(StartsWith(fmt::format("override '{}': {}", change, key.path)),
                                              EndsWith(", found a list"))))
          << change;
    }
}

TEST(every_key, misspelt_is_one_problem_that_suggests_it) {
  for (const std::string& text : full_experiments())
    for (const KeyPlace& key : find_keys(text)) {
      const std::string name = key_of(text, key);
      std::string wrong = text;
      wrong.insert(key.key_begin + name.size(), 1, 'x');
      EXPECT_THAT(problems_of(wrong),
                  ElementsAre(AllOf(StartsWith(place_name(text, key.key_begin) + ": unknown "),
                                    EndsWith(fmt::format(" '{}x', did you mean '{}'?", name, name)))))
          << wrong;
    }
}

TEST(every_key, given_twice_is_one_problem_at_the_second) {
  for (const std::string& text : full_experiments())
    for (const KeyPlace& key : find_keys(text)) {
      if (is_kind(key)) continue;
      const std::string name = key_of(text, key);
      const std::string separator = is_top(key) ? "\n" : is_line(text, key) ? "\n  " : ", ";
      const std::size_t at = is_top(key) ? text.size() - 1 : key.value_end;
      std::string twice = text;
      twice.insert(at, fmt::format("{}{}: {}", separator, name, is_top(key) ? "x" : value_of(text, key)));
      EXPECT_THAT(problems_of(twice), ElementsAre(fmt::format("{}: duplicate key '{}', first given at {}",
                                                              place_name(twice, at + separator.size()), name,
                                                              place_name(text, key.key_begin))))
          << twice;
    }
}

TEST(every_key, may_be_left_out_unless_it_is_required) {
  std::map<std::string, KeyDoc> docs;
  for (const KeyDoc& key : known_keys()) docs[key.path] = key;
  std::set<std::string> required;
  for (const std::string& text : full_experiments())
    for (const KeyPlace& key : find_keys(text)) {
      const KeyDoc& doc = docs.at(key.doc_path);
      // Of alternatives one has to stay; those with a number are required in the documentation's sense.
      if (doc.default_value.empty() || key.doc_path.starts_with("init.")) continue;
      const std::string rest = without(text, key);
      if (doc.default_value == "required") {
        required.insert(key.doc_path);
        EXPECT_THAT(problems_of(rest),
                    ElementsAre(HasSubstr(fmt::format(" lacks the key '{}'", key_of(text, key)))))
            << rest;
      } else {
        EXPECT_THAT(problems_of(rest), IsEmpty()) << rest;
      }
    }
  EXPECT_GT(required.size(), 15U);
}

/// The default that the documentation states is what an experiment without the key has.
TEST(every_key, has_the_default_that_is_documented) {
  std::map<std::string, std::string> defaults;
  for (const KeyDoc& key : known_keys()) defaults[key.path] = key.default_value;
  int compared = 0;
  for (const std::string& text : full_experiments())
    for (const KeyPlace& key : find_keys(text)) {
      const std::string& stated = defaults.at(key.doc_path);
      if (!stated.starts_with('`') || key.doc_path == "output.name" || key.doc_path == "schedule") continue;
      const std::string printed = print(parse_text(without(text, key)));
      const std::vector<KeyPlace> keys = find_keys(printed);
      const auto same = std::ranges::find(keys, key.path, &KeyPlace::path);
      ASSERT_NE(same, keys.end()) << key.path;
      EXPECT_EQ(fmt::format("`{}`", value_of(printed, *same)), stated) << key.path;
      ++compared;
    }
  EXPECT_GT(compared, 50);
}

}  // namespace
}  // namespace lockstep::config
