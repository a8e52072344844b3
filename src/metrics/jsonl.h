#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "metrics/line_file.h"
#include "metrics/sink.h"

namespace lockstep::metrics {

/// metrics.jsonl: one JSON object a line for each epoch, keys as the columns of metrics.csv.
class Jsonl : public Sink {
 public:
  /// Makes an empty file. Errors as LineFile's.
  explicit Jsonl(const std::string& path);
  /// Goes on in the file of a run after so many epochs: later lines are cut off.
  Jsonl(const std::string& path, std::int64_t epochs_done);
  void epoch(const EpochRecord& record) override;

 private:
  LineFile file_;
};

/// The epochs in such a file, `epochs` of each left at 0; a line that is no such object ends them. None if
/// there is no file.
std::vector<EpochRecord> read_epochs(const std::string& path);

}  // namespace lockstep::metrics
