#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "io/file_descriptor.h"
#include "io/hash.h"

namespace lockstep::io {

/// Reads a file from front to back, unpacking it when it begins as a gzip file does. Stricter than gzip:
/// Error(bad_data) naming the file when it is cut off, damaged (CRC or length do not fit) or followed by
/// anything but another gzip member. Error(no_input) when it cannot be opened or read.
class GzipFile {
 public:
  explicit GzipFile(std::filesystem::path path);
  ~GzipFile();
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] bool compressed() const { return inflater_ != nullptr; }
  /// Bytes of the file as stored.
  [[nodiscard]] std::int64_t stored_bytes() const { return stored_bytes_; }
  /// Most bytes that the contents can have: exact for a plain file; for a gzip file what its size allows.
  [[nodiscard]] std::int64_t most_bytes() const;

  /// Fills `out` with the next bytes of the contents. Returns how many: fewer only at their end, where the
  /// whole gzip file has been checked.
  std::size_t read(std::span<std::byte> out);
  /// Hasher::text() of the file as stored. Call after read() has reached the end.
  [[nodiscard]] std::string stored_hash() const { return hasher_.text(); }

 private:
  class Inflater;

  std::size_t read_stored(std::span<std::byte> out);

  std::filesystem::path path_;
  FileDescriptor descriptor_;
  std::int64_t stored_bytes_ = 0;
  Hasher hasher_;
  std::unique_ptr<Inflater> inflater_;  // null for a plain file
};

/// GzipFile::stored_hash() without unpacking.
std::string hash_file(const std::filesystem::path& path);

/// Opens a regular file for reading. Error(no_input) that says why it cannot be read: missing, a folder, not
/// permitted, … `advice` ends the message where it is missing.
FileDescriptor open_input(const std::filesystem::path& path, std::string_view advice = {});

}  // namespace lockstep::io
