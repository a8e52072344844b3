#pragma once

#include <string>

#include "metrics/line_file.h"
#include "metrics/sink.h"

namespace lockstep::metrics {

/// metrics.jsonl: one JSON object a line for each epoch, keys as the columns of metrics.csv.
class Jsonl : public Sink {
 public:
  /// Makes an empty file. Errors as LineFile's.
  explicit Jsonl(const std::string& path);
  void epoch(const EpochRecord& record) override;

 private:
  LineFile file_;
};

}  // namespace lockstep::metrics
