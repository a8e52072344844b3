#pragma once

#include <chrono>
#include <filesystem>

#include "io/file_descriptor.h"

namespace lockstep::train {

/// Keeps a run's folder to one job. The operating system gives the lock back when the process ends, however
/// it does.
class RunLock {
 public:
  static constexpr const char* file_name = "lock";
  /// How long ranks may outlive a killed mpirun, and write, before they notice.
  static constexpr std::chrono::seconds patience{10};

  /// Locks the file `lock` of the folder, and writes host and process into it. While another process has it,
  /// waits for so long, then throws Error(cannot_create) naming that host and process. A file system without
  /// locks is warned of, and then nothing is locked.
  explicit RunLock(const std::filesystem::path& folder,
                   std::chrono::milliseconds patience = RunLock::patience);

 private:
  io::FileDescriptor file_;
};

}  // namespace lockstep::train
