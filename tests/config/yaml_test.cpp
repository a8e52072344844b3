#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "examples.h"

namespace lockstep::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string with_crlf(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '\n' ? std::string("\r\n") : std::string(1, c);
  return result;
}

TEST(yaml, syntax_error_has_a_place_and_stands_alone) {
  EXPECT_THAT(problems_of("name: [a\nseed: x\n"), ElementsAre(HasSubstr("x.yaml:2:5: not valid YAML: ")));
  EXPECT_THAT(problems_of("name: a: b\n"), ElementsAre("x.yaml:1:8: not valid YAML: illegal map value"));
  EXPECT_THAT(problems_of("a: 3\n}\n"), ElementsAre(HasSubstr("x.yaml:2:1: not valid YAML: ")));
}

TEST(yaml, tab_as_indentation_is_named) {
  EXPECT_THAT(
      problems_of("training:\n\tepochs: 1\n"),
      ElementsAre(
          "x.yaml:2:8: not valid YAML: illegal map value (this line is indented by a tab: use spaces)"));
  EXPECT_THAT(problems_of(minimal + "# a\ttab in a comment, and\tafter a value:\nseed: 1\t# fine\n"),
              IsEmpty());
}

TEST(yaml, empty_files_lack_everything) {
  for (const char* text : {"", "\n\n", "# only a comment\n", "---\n", "~\n"})
    EXPECT_THAT(problems_of(text), ElementsAre(::testing::EndsWith(
                                       ": an experiment must be a mapping of keys to values, found nothing")))
        << text;
  EXPECT_THAT(problems_of("- a\n"),
              ElementsAre("x.yaml:1:1: an experiment must be a mapping of keys to values, found a list"));
  EXPECT_THAT(problems_of("hello\n"),
              ElementsAre("x.yaml:1:1: an experiment must be a mapping of keys to values, found 'hello'"));
}

TEST(yaml, windows_line_ends_and_byte_order_marks_change_nothing) {
  EXPECT_THAT(problems_of(with_crlf(minimal)), IsEmpty());
  EXPECT_EQ(parse_text(with_crlf(minimal)).data.train.labels, "/l");
  EXPECT_THAT(problems_of(with_crlf(minimal + "seed: x\n")),
              ElementsAre(HasSubstr("x.yaml:6:7: seed must be")));
  EXPECT_THAT(problems_of("\xEF\xBB\xBF" + minimal), IsEmpty());
  EXPECT_THAT(problems_of("\xEF\xBB\xBF"
                          "nam: a\n" +
                          minimal),
              ElementsAre(HasSubstr("x.yaml:1:1: unknown key 'nam'")));
}

TEST(yaml, second_document_is_refused) {
  EXPECT_THAT(problems_of(minimal + "---\n" + minimal),
              ElementsAre("x.yaml:6:1: a second YAML document starts here: one experiment, one document"));
  EXPECT_THAT(problems_of(minimal + "---\n"), SizeIs(1));
  EXPECT_THAT(problems_of("---\n" + minimal + "...\n"), IsEmpty());
}

TEST(yaml, aliases_repeat_what_was_anchored) {
  const Experiment e = parse_text(minimal_with(
      "model",
      "model:\n  - dense: {units: 4, init: &small {uniform: 0.25}}\n  - dense: {units: 3, init: *small}"));
  EXPECT_EQ(std::get<UniformInit>(std::get<Dense>(e.model.at(1).spec).init).limit, 0.25);
}

TEST(yaml, problem_in_an_alias_is_reported_once_where_it_was_written) {
  EXPECT_THAT(
      problems_of(minimal_with("data", "data: {train: &t {file: a, images: b, label: c}, validation: *t}")),
      ElementsAre("x.yaml:2:39: unknown key 'label', did you mean 'labels'?"));
}

TEST(yaml, alias_to_itself_or_to_nothing_is_refused) {
  EXPECT_THAT(
      problems_of("model: &m [*m]\n"),
      ElementsAre("x.yaml:1:12: not valid YAML: this alias refers to the value that it is a part of"));
  EXPECT_THAT(problems_of("model: *m\n"),
              ElementsAre(HasSubstr("x.yaml:1:8: not valid YAML: the referenced anchor is not defined")));
}

TEST(yaml, aliases_cannot_blow_up_a_small_file) {
  std::string text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n";
  for (char name = 'b'; name < 'z'; ++name) {
    const std::string inner = std::string("*") + static_cast<char>(name - 1);
    text += std::string(1, name) + ": &" + name + " [" + inner;
    for (int i = 0; i < 9; ++i) text += ", " + inner;
    text += "]\n";
  }
  EXPECT_THAT(problems_of(text), ElementsAre("x.yaml:5:8: not valid YAML: more than 20000 values"));
}

TEST(yaml, merge_keys_are_refused) {
  EXPECT_THAT(problems_of(minimal_with("data",
                                       "data:\n  train: &t {file: a, images: b, labels: c}\n"
                                       "  validation: {<<: *t, labels: d}")),
              ElementsAre("x.yaml:4:16: unknown key '<<': merge keys are not supported, write the keys out"));
}

TEST(yaml, tags_are_refused) {
  EXPECT_THAT(problems_of(minimal + "seed: !!int 3\n"),
              ElementsAre("x.yaml:6:7: tags such as '!!int' mean nothing in an experiment: leave it out"));
  EXPECT_THAT(problems_of(minimal + "output: !x {dir: a}\n"), SizeIs(1));
  EXPECT_THAT(problems_of(minimal_with("model", "model: !x [relu]")), SizeIs(1));
}

TEST(yaml, keys_are_words) {
  EXPECT_THAT(problems_of(minimal + "? [a]\n: 1\n"),
              ElementsAre("x.yaml:6:3: a key must be a word, found a list"));
  EXPECT_THAT(problems_of(minimal + "{a: 1}: 1\n"),
              ElementsAre("x.yaml:6:1: a key must be a word, found a mapping"));
  EXPECT_THAT(problems_of(minimal + "~: 1\n"),
              ElementsAre("x.yaml:6:1: a key must be a word, found nothing"));
  EXPECT_THAT(problems_of(minimal + "'seed': 1\n"), IsEmpty());
}

TEST(yaml, deep_nesting_is_refused) {
  for (const std::string opening : {"[", "{a: ", "- "}) {
    std::string text;
    for (int i = 0; i < 10'000; ++i) text += opening;
    EXPECT_THAT(problems_of(text), ElementsAre(HasSubstr("not valid YAML: nested more than 64 deep")))
        << opening;
  }
}

TEST(yaml, a_megabyte_of_garbage_is_refused_quickly) {
  std::mt19937 random(1);
  std::string bytes;
  std::string printable;
  for (int i = 0; i < 1 << 20; ++i) {
    bytes += static_cast<char>(random() & 0xff);
    printable += static_cast<char>(' ' + random() % 95);
  }
  EXPECT_FALSE(problems_of(bytes).empty());
  EXPECT_FALSE(problems_of(printable).empty());
  EXPECT_THAT(problems_of(std::string(1 << 20, 'a')), SizeIs(1));
  std::string list = "model: [";
  for (int i = 0; i < 1 << 19; ++i) list += "1,";
  EXPECT_THAT(problems_of(list), ElementsAre(HasSubstr("more than 20000 values")));
}

/// Every shorter file and every file with one byte changed is either accepted or refused with a report.
TEST(yaml, damaged_files_are_refused_or_read) {
  const std::string alphabet = "{}[]:,-?*&!#'\"\n\t %@|>~0a";
  std::mt19937 random(2);
  int refused = 0;
  for (std::size_t i = 0; i < minimal.size(); ++i) {
    refused += problems_of(minimal.substr(0, i)).empty() ? 0 : 1;
    std::string changed = minimal;
    changed[i] = alphabet[random() % alphabet.size()];
    problems_of(changed);
  }
  // Only the line end at the very end can be spared.
  EXPECT_EQ(refused, static_cast<int>(minimal.size()) - 1);
}

}  // namespace
}  // namespace lockstep::config
