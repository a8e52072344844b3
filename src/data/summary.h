#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lockstep::data {

/// What a person wants to know of one data set of a file.
struct ArraySummary {
  std::string name;
  std::string problem;  ///< why Lockstep cannot read it; then nothing below is set
  Shape shape;
  DType type = DType::u8;
  std::string storage;  ///< "contiguous", "chunks of 128×1×28×28, deflate"
  std::int64_t bytes = 0;
  std::string checksum;  ///< by its attribute; empty when there is none
  double minimum = 0;
  double maximum = 0;
  double mean = 0;
  std::int64_t not_finite = 0;  ///< NaN and infinities, left out of the three above
  /// Rows of each class, when it looks like labels: one integer a row, from 0, few classes.
  std::vector<std::int64_t> class_counts;
};

/// Reads all data sets of a file. Error as hdf5::open_file; a data set that cannot be read is reported in its
/// summary.
std::vector<ArraySummary> summarize(const std::filesystem::path& file);

}  // namespace lockstep::data
