#include "examples.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/error.h"
#include "config/parse.h"

namespace lockstep::config {

const std::string minimal =
    "name: tiny\n"
    "data: {train: {file: a.h5, images: /i, labels: /l}}\n"
    "model: [dense: {units: 3}]\n"
    "optimizer: sgd\n"
    "training: {epochs: 2, batch: 10}\n";

std::string minimal_with(const std::string& section, const std::string& text) {
  const std::string key = section + ":";
  std::istringstream lines(minimal);
  std::string result;
  bool replaced = false;
  for (std::string line; std::getline(lines, line);) {
    const bool is_section = line.starts_with(key);
    result += (is_section ? text : line) + "\n";
    replaced = replaced || is_section;
  }
  return replaced ? result : result + text + "\n";
}

Experiment parse_text(const std::string& text, const std::vector<std::string>& overrides) {
  return parse(text, "x.yaml", overrides);
}

std::vector<std::string> problems_of(const std::string& text, const std::vector<std::string>& overrides) {
  try {
    parse_text(text, overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_config);
    std::istringstream report(error.what());
    std::vector<std::string> lines;
    for (std::string line; std::getline(report, line);) lines.push_back(line);
    EXPECT_FALSE(lines.empty());
    return lines;
  }
  return {};
}

}  // namespace lockstep::config
