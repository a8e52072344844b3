#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/hdf5_array.h"

/// Checksums of data sets: XXH3-64 of a data set's numbers as stored in the file, in an attribute beside
/// them.
namespace lockstep::data {

/// Name of the attribute; its value is Hasher::text().
inline const std::string checksum_attribute = "checksum";

/// A line for each of the two: its checksum, or of one that has none that of a few of its rows.
std::string manifest(const io::hdf5::Array& images, const io::hdf5::Array& labels);

struct ChecksumResult {
  std::string dataset;
  std::string expected;  ///< by the attribute; empty when there is none
  std::string actual;
  [[nodiscard]] bool fits() const { return expected.empty() || expected == actual; }
};

/// Reads every data set of a file and compares. Error as Array and open_file.
std::vector<ChecksumResult> verify_checksums(const std::filesystem::path& file);

}  // namespace lockstep::data
