#include "metrics/jsonl.h"

#include <nlohmann/json.hpp>

#include "metrics/json.h"

namespace lockstep::metrics {

Jsonl::Jsonl(const std::string& path) : file_(path) {}

void Jsonl::epoch(const EpochRecord& record) {
  file_.append(to_json(record).dump() + "\n");
}

}  // namespace lockstep::metrics
