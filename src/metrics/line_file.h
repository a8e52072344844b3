#pragma once

#include <cstdint>
#include <functional>
#include <optional>
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

  /// Opens the file of a run that goes on, or makes it where it is missing, and cuts it back to the lines at
  /// its beginning that `belongs` is true for. A line comes without its newline. Error(io_error or
  /// cannot_create) naming the file.
  LineFile(std::string path, const std::function<bool(std::string_view line)>& belongs);

  /// Complete lines that the constructor found and kept.
  [[nodiscard]] std::int64_t kept_lines() const { return kept_lines_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  /// Appends one line or several, each with its newline. Error(io_error) naming the file when the disk is
  /// full or the write fails otherwise.
  void append(std::string_view lines);

 private:
  std::string path_;
  io::FileDescriptor descriptor_;
  std::int64_t length_ = 0;  ///< of the complete lines
  std::int64_t kept_lines_ = 0;
};

/// The whole number at the beginning of a line, before a comma; nothing if there is none.
std::optional<std::int64_t> leading_number(std::string_view line);

}  // namespace lockstep::metrics
