#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "support/temporary_folder.h"
#include "system/program.h"

namespace lockstep::testing {

/// A test of the program as users have it, in a folder of its own. Whatever the test did, no process may
/// still work on that folder when it is over, and no half-written file may lie in it.
class SystemTest : public ::testing::Test {
 protected:
  void TearDown() override;

  [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }
  [[nodiscard]] std::string folder() const { return folder_.path().string(); }
  /// Writes a file of the folder; returns its path.
  std::string write(const std::string& name, const std::string& text) const;
  /// Overrides that make `name` in this folder the folder of the run.
  [[nodiscard]] Words into(const std::string& name, const Words& others = {}) const;
  [[nodiscard]] std::string run_folder(const std::string& name) const { return file("runs/" + name); }
  /// Processes other than this one whose command line names the folder.
  static std::vector<pid_t> processes_of(const std::string& folder);
  /// For tests that kill the program, which then cannot clean up.
  void allow_partial_files() { partial_files_allowed_ = true; }

 private:
  TemporaryFolder folder_;
  bool partial_files_allowed_ = false;
};

/// The messages of Lockstep on standard error: each from "lockstep: " to an empty line, to the next one, or
/// to what mpirun has to say.
std::vector<std::string> messages(const ProcessResult& result);

/// It ended with this status and said one thing, which has all the parts.
void expect_failure(const ProcessResult& result, ExitCode code, const std::vector<std::string>& parts);
/// It ended well and said nothing on standard error.
void expect_success(const ProcessResult& result);

}  // namespace lockstep::testing
