#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "config/experiment.h"
#include "metrics/record.h"

namespace lockstep::train {

/// The folder of one run, and the names of the files in it. src/metrics/README.md says what each holds.
class RunFolder {
 public:
  /// Makes a new folder in `output.dir`, and that with its parents where missing. Its name is `output.name`,
  /// or <experiment>-YYYYMMDDTHHMMSSZ and -2, -3, … after it while that is taken, also by a run that starts
  /// at the same moment. Never an existing folder: Error(cannot_create), as for everything else that keeps it
  /// from being made, naming the path and the reason.
  static RunFolder make(const config::Output& output, const std::string& experiment,
                        std::chrono::system_clock::time_point now);

  /// One that exists. Makes and checks nothing.
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::string experiment() const { return file("experiment.yaml"); }
  [[nodiscard]] std::string environment() const { return file("environment.json"); }
  [[nodiscard]] std::string metrics_csv() const { return file("metrics.csv"); }
  [[nodiscard]] std::string metrics_jsonl() const { return file("metrics.jsonl"); }
  [[nodiscard]] std::string digests() const { return file("digests.csv"); }
  [[nodiscard]] std::string checkpoints() const { return file("checkpoints"); }
  [[nodiscard]] std::string final_weights() const { return file("final_weights.h5"); }
  [[nodiscard]] std::string summary() const { return file("summary.json"); }

  /// Removes what killed processes left of files that they were writing; not below the folder.
  /// Error(io_error).
  void remove_partial_files() const;
  /// The files that say where and with what the run was made, by the steps that were done before: that of
  /// its start, whether or not it is there, and those that were written when it went on.
  [[nodiscard]] std::map<std::int64_t, std::string> environments() const;

  /// Removes the folder with all that is in it, as far as it can.
  void remove() const noexcept;

  /// Each whole or not at all, replacing what was there. Error(io_error or cannot_create) naming the file.
  void write_experiment(std::string_view yaml) const;
  /// Of a run that starts, or goes on after so many steps: "environment-000000000120.json". What went on
  /// after later steps, which are now done again, is renamed to "<name>.unused".
  void write_environment(std::string_view json, std::int64_t global_step = 0) const;
  void write_summary(const metrics::RunSummary& summary) const;
  /// A run has none until it ends. Nothing if there is none. Error(io_error).
  void remove_summary() const;

 private:
  [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }

  std::filesystem::path path_;
};

}  // namespace lockstep::train
