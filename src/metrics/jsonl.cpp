#include "metrics/jsonl.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "metrics/json.h"

namespace lockstep::metrics {
namespace {

nlohmann::json parse(std::string_view line) {
  return nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

Jsonl::Jsonl(const std::string& path) : file_(path) {}

Jsonl::Jsonl(const std::string& path, std::int64_t epochs_done)
    : file_(path, [=](std::string_view line) {
        const auto record = epoch_of_json(parse(line));
        return record && record->epoch <= epochs_done;
      }) {}

void Jsonl::epoch(const EpochRecord& record) {
  file_.append(to_json(record).dump() + "\n");
}

std::vector<EpochRecord> read_epochs(const std::string& path) {
  std::vector<EpochRecord> records;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto record = epoch_of_json(parse(line));
    if (!record) break;
    records.push_back(*record);
  }
  return records;
}

}  // namespace lockstep::metrics
