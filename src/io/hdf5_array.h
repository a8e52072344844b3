#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/partition.h"
#include "io/hdf5.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lockstep::io::hdf5 {

/// A data set of numbers, open for reading, that passed every check by which files made or damaged by others
/// are kept from crashing or fooling the library: a standard type, stored whole in this file, contiguous or
/// in chunks, with no filters but deflate, shuffle and fletcher32.
///
/// A row is one element of the first axis.
class Array {
 public:
  /// Error(bad_data) naming file and data set when it is missing or fails a check.
  Array(const File& file, const std::filesystem::path& path, std::string name);

  [[nodiscard]] const std::string& name() const { return name_; }
  /// "data.h5: /train/images", to begin a message with.
  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] DType type() const { return type_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t rows() const { return shape_.rank() == 0 ? 1 : shape_[0]; }
  [[nodiscard]] std::int64_t row_elements() const { return row_elements_; }
  [[nodiscard]] std::int64_t row_bytes() const;
  /// Rows of a chunk; 0 for contiguous storage.
  [[nodiscard]] std::int64_t chunk_rows() const { return chunk_rows_; }
  /// "contiguous", "chunks of 128×1×28×28, deflate".
  [[nodiscard]] const std::string& storage() const { return storage_; }
  [[nodiscard]] hid_t id() const { return dataset_.get(); }

  /// How many rows of type `as` to read at a time in a pass over all: whole chunks, some 16 MiB; at least 1.
  [[nodiscard]] std::int64_t block_rows(DType as) const;

  /// Reads rows as elements of `as`, in C order, converting as the library does (out-of-range integers are
  /// clamped). `out` has rows.size() · row_elements() of them.
  void read(Range rows, DType as, void* out) const;
  /// Reads `count` runs of `width` rows whose starts are `stride` rows apart, one after the other. Requires
  /// width <= stride.
  void read_runs(std::int64_t first, std::int64_t width, std::int64_t stride, std::int64_t count, DType as,
                 void* out) const;
  /// Reads rows without any conversion, in the byte order of the file. `out` has rows.size() · row_bytes().
  void read_stored(Range rows, std::span<std::byte> out) const;

 private:
  [[noreturn]] void refuse(const std::string& why) const;
  void check_type();
  void check_shape();
  void check_storage();
  void check_contiguous() const;
  void check_chunks(hid_t creation);
  void read_selection(std::int64_t first, std::int64_t width, std::int64_t stride, std::int64_t count,
                      hid_t memory_type, void* out) const;

  std::filesystem::path path_;
  std::string name_;
  std::string where_;
  Dataset dataset_;
  DType type_ = DType::u8;
  Shape shape_;
  std::int64_t row_elements_ = 1;
  std::int64_t chunk_rows_ = 0;
  std::string storage_;
};

/// Makes a contiguous data set of little-endian numbers in a new file.
Dataset create_array(const NewFile& file, const std::string& name, DType type, const Shape& shape);

/// Writes rows of a data set of `type` and `shape` from memory in C order. A full disk is found here, not
/// when the data set is closed: new files have no buffer.
void write_rows(const NewFile& file, const Dataset& dataset, DType type, const Shape& shape, Range rows,
                const void* values);

/// The library's type of one element in memory.
hid_t native_type(DType type);

}  // namespace lockstep::io::hdf5
