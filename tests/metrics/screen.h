#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::testing {

/// What a terminal `columns` wide shows of `text`: carriage returns move to the start of the line, later
/// characters replace earlier ones, a full line goes on in the next. Trailing blanks are cut; escape
/// sequences are not known.
inline std::vector<std::string> screen(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines(1);
  std::size_t column = 0;
  for (const char character : text) {
    if (character == '\n') {
      lines.emplace_back();
      column = 0;
    } else if (character == '\r') {
      column = 0;
    } else {
      if (column == columns) {
        lines.emplace_back();
        column = 0;
      }
      std::string& line = lines.back();
      if (line.size() <= column) line.resize(column + 1, ' ');
      line[column++] = character;
    }
  }
  for (std::string& line : lines) line.erase(line.find_last_not_of(' ') + 1);
  return lines;
}

}  // namespace lockstep::testing
