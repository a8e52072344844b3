#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lockstep::testing {

/// The whole file; empty if there is none.
std::string contents(const std::string& path);
/// Makes or replaces a file; returns its path.
std::string write_file(const std::string& path, const std::string& text);
/// The file as JSON; a failure of the test, and null, when it is not.
nlohmann::json json_of(const std::string& path);

/// metrics.csv: its header and rows, cut at commas. A failure of the test unless the file is made of whole
/// lines with as many columns as the header has.
std::vector<std::vector<std::string>> csv_rows(const std::string& path);
/// The columns of metrics.csv that do not depend on the clock: the first six.
std::string computed_columns(const std::string& path);
/// Likewise for metrics.jsonl: an object for each line.
std::vector<nlohmann::json> json_lines(const std::string& path);

}  // namespace lockstep::testing
