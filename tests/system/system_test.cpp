#include "system/system_test.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "system/run_files.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

void expect_no_partial_file(const std::string& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    EXPECT_EQ(entry.path().filename().string().find(".partial"), std::string::npos)
        << entry.path() << " was left behind";
}

/// Empty when the process is gone, or ends while it is read.
std::string command_line_of(const fs::path& process) {
  try {
    return contents((process / "cmdline").string());
  } catch (const std::ios_base::failure&) {
    return "";
  }
}

}  // namespace

std::vector<pid_t> SystemTest::processes_of(const std::string& folder) {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const pid_t id = std::atoi(entry.path().filename().c_str());
    if (id <= 0 || id == getpid()) continue;
    if (command_line_of(entry.path()).find(folder) != std::string::npos) found.push_back(id);
  }
  return found;
}

void SystemTest::TearDown() {
  if (!wait_until([&] { return processes_of(folder()).empty(); }))
    for (const pid_t id : processes_of(folder())) {
      ADD_FAILURE() << "process " << id << " was left behind";
      kill(id, SIGKILL);
    }
  if (!partial_files_allowed_) expect_no_partial_file(folder());
}

std::string SystemTest::write(const std::string& name, const std::string& text) const {
  return write_file(file(name), text);
}

Words SystemTest::into(const std::string& name, const Words& others) const {
  Words words{"output.dir=" + file("runs"), "output.name=" + name};
  words.insert(words.end(), others.begin(), others.end());
  return words;
}

std::vector<std::string> messages(const ProcessResult& result) {
  std::vector<std::string> found;
  bool within = false;
  std::istringstream text(result.err);
  for (std::string line; std::getline(text, line);) {
    const bool begins = line.starts_with("lockstep: ");
    const bool is_mpiruns = line.starts_with("--") || line.starts_with("[");
    within = begins || (within && !line.empty() && !is_mpiruns);
    if (begins)
      found.push_back(line);
    else if (within)
      found.back() += "\n" + line;
  }
  return found;
}

void expect_failure(const ProcessResult& result, ExitCode code, const std::vector<std::string>& parts) {
  EXPECT_FALSE(result.timed_out) << "it hangs";
  EXPECT_EQ(result.status, static_cast<int>(code)) << result.err;
  const std::vector<std::string> said = messages(result);
  ASSERT_EQ(said.size(), 1U) << result.err;
  for (const std::string& part : parts) EXPECT_THAT(said.front(), HasSubstr(part));
}

void expect_success(const ProcessResult& result) {
  EXPECT_FALSE(result.timed_out) << "it hangs";
  EXPECT_EQ(result.status, 0) << result.out << result.err;
  EXPECT_TRUE(messages(result).empty()) << result.err;
}

}  // namespace lockstep::testing
