#include "system/run_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/check.h"

namespace lockstep::testing {
namespace {

constexpr std::size_t computed = 6;

/// The lines of a file that ends with a whole one.
std::vector<std::string> whole_lines(const std::string& path) {
  const std::string text = contents(path);
  EXPECT_TRUE(text.empty() || text.ends_with('\n')) << path << " ends within a line: " << text;
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char letter : line) {
    if (letter == ',')
      cells.emplace_back();
    else
      cells.back() += letter;
  }
  return cells;
}

}  // namespace

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  check(static_cast<bool>(file.flush()), "a test can write its files");
  return path;
}

nlohmann::json json_of(const std::string& path) {
  auto json = nlohmann::json::parse(contents(path), nullptr, /*allow_exceptions=*/false);
  EXPECT_FALSE(json.is_discarded()) << path << " is no JSON: " << contents(path);
  return json.is_discarded() ? nlohmann::json() : json;
}

std::vector<std::vector<std::string>> csv_rows(const std::string& path) {
  std::vector<std::vector<std::string>> rows;
  for (const std::string& line : whole_lines(path)) rows.push_back(cells_of(line));
  for (const auto& row : rows) EXPECT_EQ(row.size(), rows.front().size()) << path;
  return rows;
}

std::string computed_columns(const std::string& path) {
  std::string text;
  for (const auto& row : csv_rows(path)) {
    EXPECT_GE(row.size(), computed) << path;
    for (std::size_t i = 0; i < std::min(row.size(), computed); ++i) text += row[i] + ",";
    text += "\n";
  }
  return text;
}

std::vector<nlohmann::json> json_lines(const std::string& path) {
  std::vector<nlohmann::json> objects;
  for (const std::string& line : whole_lines(path)) {
    objects.push_back(nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false));
    EXPECT_TRUE(objects.back().is_object()) << path << ": " << line;
  }
  return objects;
}

}  // namespace lockstep::testing
