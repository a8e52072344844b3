#pragma once

#include <cstdint>
#include <string>

#include "metrics/line_file.h"
#include "metrics/sink.h"

namespace lockstep::metrics {

/// digests.csv: a header, then a row for the initial weights and each step that is reported: hashes as 16
/// hexadecimal digits, that of the weights in every row, those of optimizer, order of samples and metrics
/// where an epoch ends. Lines are gathered, and written at the end of an epoch and of the run at the latest.
class Digests : public Sink {
 public:
  static constexpr const char* header = "step,epoch,weights,optimizer,samples,metrics";

  /// Makes the file and writes its header. Errors as LineFile's.
  explicit Digests(const std::string& path);
  /// Goes on in the file of a run: rows of steps after `last_step` are cut off.
  Digests(const std::string& path, std::int64_t last_step);
  void digest(const DigestRecord& record) override;
  void flush() override;
  void end(const RunSummary& summary) override;

 private:
  void make_room();

  LineFile file_;
  std::string lines_;
};

}  // namespace lockstep::metrics
