#pragma once

#include <sys/types.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {

/// What tests of resumed trainings share.
class ResumableRuns : public SystemTest {
 protected:
  /// What a training leaves that must not depend on its stops.
  struct Outcome {
    std::string weights, metrics, digests;
    std::vector<std::string> epochs;  ///< the lines of metrics.jsonl, without times
  };
  [[nodiscard]] Outcome outcome(const std::string& name) const;
  static void expect_equal(const Outcome& found, const Outcome& expected);
  /// Trains without a stop, as the run "whole".
  [[nodiscard]] Outcome train_whole(const Words& experiment, int ranks = 1) const;

  [[nodiscard]] static Words with(Words words, const Words& more);
  [[nodiscard]] nlohmann::json summary(const std::string& name) const;
  /// Of the run's checkpoints, in ascending order; empty if there are none.
  [[nodiscard]] std::vector<std::int64_t> checkpoint_steps(const std::string& name) const;
  [[nodiscard]] std::string checkpoint_file(const std::string& name, std::int64_t step) const;
  /// Flips a bit.
  static void damage(const std::string& path, std::int64_t at);
  /// Whether a process has not ended, as a zombie has.
  static bool is_running(pid_t process);
  /// Kills all processes that work on this test's folder.
  void kill_job() const;

  /// Dropout, AdamW, a schedule that depends on the epochs, and sizes that divide by nothing.
  static std::string odd_network();
  /// Fast steps, frequent checkpoints, a validation set and AdamW.
  static std::string small_network();
};

}  // namespace lockstep::testing
