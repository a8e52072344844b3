#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "io/file_descriptor.h"

namespace lockstep::io {

/// In the names of files that are being written, or that a killed process was writing.
inline constexpr std::string_view partial_marker = ".partial-";

/// A file that appears under its name whole or not at all: written beside it as "<name>.partial-<pid>",
/// synced and renamed by commit(), removed when not committed. After a crash or a power cut the name holds
/// the old contents or the new ones, never a mixture.
///
/// Errors: cannot_create when the file cannot be made, io_error when writing fails half-way. A limit on the
/// size of files (RLIMIT_FSIZE) is such an error only if the process ignores SIGXFSZ; else it is killed.
class AtomicFile {
 public:
  /// Makes the partial file. `path` may exist already; if it is a symbolic link, the file that it points to
  /// is the one replaced. A device, a pipe or a folder is refused.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// The final name, as given.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Where the contents are until commit(), for libraries that write a file by its name.
  [[nodiscard]] const std::filesystem::path& partial_path() const { return partial_; }

  /// Appends.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Syncs the contents, gives the file its name, and syncs the folder. Once.
  void commit();
  /// Removes the partial file and gives its space back, even while another descriptor keeps it open. Nothing
  /// after commit().
  void discard() noexcept;

 private:
  std::filesystem::path path_;
  std::filesystem::path target_;  // path_ with symbolic links resolved
  std::filesystem::path partial_;
  FileDescriptor descriptor_;
};

/// Replaces the file at `path` by `text`, whole or not at all.
void write_file(const std::filesystem::path& path, std::string_view text);

/// Makes what was written to a file, or the names in a folder, outlast a power cut. Error(io_error) naming
/// it. Any thread.
void sync(const std::filesystem::path& path);

/// Writes all of `bytes`. Error(io_error) naming `path` when the disk is full or the write fails otherwise.
void write_all(int descriptor, std::span<const std::byte> bytes, const std::filesystem::path& path);

}  // namespace lockstep::io
