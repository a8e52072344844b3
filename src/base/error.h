#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace lockstep {

/// Exit status of the process. The numbers follow sysexits.h, so that scripts can tell the kinds apart.
enum class ExitCode : int {
  success = 0,
  different = 1,       ///< what was compared is not the same: an answer, not a failure
  usage = 64,          ///< the command line
  bad_data = 65,       ///< contents of a data file, or numbers that are no longer finite
  no_input = 66,       ///< a file that is missing or cannot be read
  no_device = 69,      ///< no such device or driver
  internal = 70,       ///< a broken invariant of Lockstep or of a library it calls
  cannot_create = 73,  ///< an output file or folder that cannot be made
  io_error = 74,       ///< a write that failed half-way, a full disk
  preempted = 75,      ///< stopped by a signal with everything saved: run again to go on
  bad_config = 78      ///< an experiment file or an override
};

/// Every failure that Lockstep reports: one message for a person, and the status that the process ends with.
/// The message names the file, line, key or rank at fault and says what to do; it does not end in a newline.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

/// What std::bad_alloc means to a user.
inline constexpr const char* out_of_memory =
    "out of memory: `lockstep plan` shows what a rank needs; use more ranks on more hosts, fewer threads or "
    "a "
    "smaller training.batch";

/// Throws Error with a formatted message.
template <class... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace lockstep
