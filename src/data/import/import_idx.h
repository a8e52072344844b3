#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lockstep::data {

/// Images and their labels as two IDX files, gzipped or not.
struct IdxPair {
  std::filesystem::path images;
  std::filesystem::path labels;
};

struct ImportRequest {
  std::filesystem::path output;
  IdxPair train;
  std::optional<IdxPair> test;
  bool force = false;  ///< replace an output that exists
};

struct ImportReport {
  /// written: the output is new. unchanged: it existed and was made from these very files.
  enum class Outcome : std::uint8_t { written, unchanged } outcome = Outcome::written;
  struct Split {
    Shape images;  ///< with the samples first
    DType type = DType::u8;
    std::int64_t classes = 0;
  };
  std::vector<Split> splits;  ///< train, then test; empty when unchanged
};

/// Writes /train/images, /train/labels and, if asked for, /test/images and /test/labels in the layout that
/// datasets/README.md describes. The same sources give the same bytes.
///
/// Errors, none of which leaves a file behind or touches an existing one: no_input and bad_data as IdxFile;
/// bad_data when images and labels do not fit together; cannot_create when the output exists, was made from
/// other files and `force` is false; cannot_create and io_error as AtomicFile.
ImportReport import_idx(const ImportRequest& request);

}  // namespace lockstep::data
