#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/hdf5.h"
#include "tensor/shape.h"

namespace lockstep::testing {

/// A data set for a test's file, made by the library directly so that it can be what Lockstep would not
/// write.
struct SampleArray {
  std::string name;
  hid_t type = -1;  ///< in the file
  Shape shape{};
  /// Of the element at a position in C order; none: never written.
  std::function<double(std::int64_t)> value{};
  std::vector<hsize_t> chunk{};           ///< empty: contiguous
  std::function<void(hid_t)> creation{};  ///< further settings of its creation property list
  std::int64_t rows_written = -1;         ///< of shape[0]; -1: all
};

/// Writes them and the groups in their names. A failure of the library ends the test.
void write_hdf5(const std::string& path, const std::vector<SampleArray>& arrays);

}  // namespace lockstep::testing
