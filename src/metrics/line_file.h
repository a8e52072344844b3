#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/file_descriptor.h"

namespace lockstep::metrics {

/// A text file that grows by whole lines: who reads it at any time, or after a crash of this process, finds
/// complete lines only. Each line is one appending write straight to the kernel; when the disk is full
/// half-way, the file is cut back to its last complete line. Lines are not synced one by one: a power cut may
/// cost the latest.
class LineFile {
 public:
  /// Makes a new file. Error(cannot_create) naming it if that fails, for instance because it exists already.
  explicit LineFile(std::string path);

  /// Appends one line or several, each with its newline. Error(io_error) naming the file when the disk is
  /// full or the write fails otherwise.
  void append(std::string_view lines);

 private:
  std::string path_;
  io::FileDescriptor descriptor_;
  std::int64_t length_ = 0;  ///< of the complete lines
};

}  // namespace lockstep::metrics
