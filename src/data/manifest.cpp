#include "data/manifest.h"

#include <algorithm>
#include <cstddef>

#include "io/hash.h"
#include "io/hdf5_attributes.h"

namespace lockstep::data {
namespace {

namespace hdf5 = io::hdf5;

std::string stored_checksum(const hdf5::Array& array) {
  return hdf5::read_text(array.id(), checksum_attribute).value_or("");
}

std::string actual_checksum(const hdf5::Array& array) {
  const std::int64_t step = array.block_rows(array.type());
  std::vector<std::byte> block;
  io::Hasher hasher;
  for (std::int64_t first = 0; first < array.rows() && array.row_bytes() > 0; first += step) {
    const Range rows{first, std::min(first + step, array.rows())};
    block.resize(static_cast<std::size_t>(rows.size() * array.row_bytes()));
    array.read_stored(rows, block);
    hasher.update(block);
  }
  return hasher.text();
}

}  // namespace

std::string manifest(const hdf5::Array& images, const hdf5::Array& labels) {
  std::string text;
  for (const hdf5::Array* array : {&images, &labels})
    if (const std::string checksum = stored_checksum(*array); !checksum.empty())
      text += array->name() + " " + checksum + "\n";
  return text;
}

std::vector<ChecksumResult> verify_checksums(const std::filesystem::path& file) {
  const hdf5::File opened = hdf5::open_file(file);
  std::vector<ChecksumResult> results;
  for (const std::string& name : hdf5::dataset_names(opened)) {
    const hdf5::Array array(opened, file, name);
    results.push_back({name, stored_checksum(array), actual_checksum(array)});
  }
  return results;
}

}  // namespace lockstep::data
