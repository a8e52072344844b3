#include "train/digest_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "metrics/digests.h"

namespace lockstep::train {
namespace {

constexpr std::size_t columns = 6;
using Cells = std::array<std::string_view, columns>;

std::optional<Cells> cells_of(std::string_view line) {
  if (static_cast<std::size_t>(std::ranges::count(line, ',')) != columns - 1) return std::nullopt;
  Cells cells;
  for (std::string_view& cell : cells) {
    cell = line.substr(0, line.find(','));
    line.remove_prefix(std::min(cell.size() + 1, line.size()));
  }
  return cells;
}

template <class T>
bool parse(std::string_view cell, T& value, int base) {
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value, base);
  return error == std::errc() && end == cell.data() + cell.size();
}

bool parse_count(std::string_view cell, std::int64_t& value) {
  constexpr int decimal = 10;
  return parse(cell, value, decimal) && value >= 0;
}

bool parse_hash(std::string_view cell, std::uint64_t& value) {
  constexpr int hexadecimal = 16;
  constexpr std::size_t digits = 16;
  return cell.size() == digits && parse(cell, value, hexadecimal);
}

std::optional<metrics::DigestRecord> record_of(std::string_view line) {
  const auto cells = cells_of(line);
  metrics::DigestRecord record;
  if (!cells || !parse_count((*cells)[0], record.step) || !parse_count((*cells)[1], record.epoch) ||
      !parse_hash((*cells)[2], record.weights))
    return std::nullopt;
  if ((*cells)[3].empty() && (*cells)[4].empty() && (*cells)[5].empty()) return record;
  metrics::EpochDigests& epoch = record.at_epoch_end.emplace();
  if (!parse_hash((*cells)[3], epoch.optimizer) || !parse_hash((*cells)[4], epoch.samples) ||
      !parse_hash((*cells)[5], epoch.metrics))
    return std::nullopt;
  return record;
}

}  // namespace

std::vector<metrics::DigestRecord> parse_digests(std::istream& text, const std::string& path) {
  const std::string_view header = metrics::Digests::header;
  std::vector<metrics::DigestRecord> records;
  std::string line;
  for (std::int64_t number = 1; std::getline(text, line); ++number) {
    if (text.eof()) fail(ExitCode::bad_data, "{}:{}: the line is cut off: '{}'", path, number, line);
    if (number == 1) {
      if (line != header)
        fail(ExitCode::bad_data,
             "{}:1: the columns must be '{}', found '{}': this is no digests.csv, or one of "
             "another version of Lockstep",
             path, header, line);
      continue;
    }
    const auto record = record_of(line);
    if (!record)
      fail(ExitCode::bad_data,
           "{}:{}: '{}' is no row of digests: step, epoch and hashes of 16 hexadecimal digits, one or four",
           path, number, line);
    if (!records.empty() && (record->step <= records.back().step || record->epoch < records.back().epoch))
      fail(ExitCode::bad_data,
           "{}:{}: step {} of epoch {} comes after step {} of epoch {}: rows are missing or "
           "out of order",
           path, number, record->step, record->epoch, records.back().step, records.back().epoch);
    records.push_back(*record);
  }
  if (records.empty()) fail(ExitCode::bad_data, "{}: there are no digests in it yet", path);
  return records;
}

std::vector<metrics::DigestRecord> read_digests(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ExitCode::no_input, "{}: cannot read it: {}", path, std::generic_category().message(errno));
  std::vector<metrics::DigestRecord> records = parse_digests(file, path);
  if (file.bad()) fail(ExitCode::no_input, "{}: cannot read all of it", path);
  return records;
}

}  // namespace lockstep::train
