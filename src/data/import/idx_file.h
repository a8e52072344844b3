#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "io/gzip_file.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lockstep::data {

/// Reads an IDX file (the format of the MNIST files: two zero bytes, a type, a number of axes, the extents
/// and the numbers, all big-endian), gzipped or not, from front to back.
///
/// Errors: no_input when it cannot be read; bad_data, naming the file, when it is not IDX, is cut off, or has
/// another length than its header says. A header that lies is refused before memory is set aside for it.
class IdxFile {
 public:
  explicit IdxFile(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return file_.path(); }
  [[nodiscard]] DType type() const { return type_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }

  /// The next numbers in the host's byte order. `out` is a whole number of elements, no more than remain.
  void read(std::span<std::byte> out);
  /// Checks that the file ends after the last number. Call once all are read.
  void finish();

  // Of the file as stored; the hash once it is finished.
  [[nodiscard]] std::int64_t stored_bytes() const { return file_.stored_bytes(); }
  [[nodiscard]] std::string stored_hash() const { return file_.stored_hash(); }

 private:
  [[nodiscard]] std::string name() const { return path().string(); }
  void read_header();
  void check_length() const;

  io::GzipFile file_;
  DType type_ = DType::u8;
  Shape shape_;
  std::int64_t header_bytes_ = 0;
};

}  // namespace lockstep::data
