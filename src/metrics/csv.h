#pragma once

#include <cstdint>
#include <string>

#include "metrics/line_file.h"
#include "metrics/sink.h"

namespace lockstep::metrics {

/// metrics.csv: a header, then a row for each epoch. Numbers are the shortest text that reads back as the
/// same double; without a validation set its two fields are empty.
class Csv : public Sink {
 public:
  /// Makes the file and writes its header. Errors as LineFile's.
  explicit Csv(const std::string& path);
  /// Goes on in the file of a run after so many epochs: later rows are cut off.
  Csv(const std::string& path, std::int64_t epochs_done);
  void epoch(const EpochRecord& record) override;

 private:
  LineFile file_;
};

}  // namespace lockstep::metrics
