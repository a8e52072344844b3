#include "data/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "base/partition.h"
#include "io/hash.h"
#include "io/hdf5_attributes.h"

namespace lockstep::data {
namespace {

namespace hdf5 = io::hdf5;

std::string stored_checksum(const hdf5::Array& array) {
  return hdf5::read_text(array.id(), checksum_attribute).value_or("");
}

void add_rows(const hdf5::Array& array, Range rows, std::vector<std::byte>& block, io::Hasher& hasher) {
  block.resize(static_cast<std::size_t>(rows.size() * array.row_bytes()));
  array.read_stored(rows, block);
  hasher.update(block);
}

std::string actual_checksum(const hdf5::Array& array) {
  const std::int64_t step = array.block_rows(array.type());
  std::vector<std::byte> block;
  io::Hasher hasher;
  for (std::int64_t first = 0; first < array.rows() && array.row_bytes() > 0; first += step)
    add_rows(array, {first, std::min(first + step, array.rows())}, block, hasher);
  return hasher.text();
}

/// Of a few rows all over the data set, whole chunks of them where it has chunks: other contents are likely
/// to show there. Of all rows where these are little to read.
std::string sampled_checksum(const hdf5::Array& array) {
  constexpr std::int64_t little = std::int64_t{4} << 20, most_bytes = std::int64_t{16} << 20, most = 64;
  if (array.rows() * array.row_bytes() <= little) return actual_checksum(array);
  const std::int64_t unit = std::max<std::int64_t>(array.chunk_rows(), 1);
  const std::int64_t units = (array.rows() + unit - 1) / unit;
  const std::int64_t fitting = most_bytes / (unit * array.row_bytes());
  const std::int64_t count = std::min(std::clamp<std::int64_t>(fitting, 1, most), units);
  std::vector<std::byte> block;
  io::Hasher hasher;
  std::int64_t hashed = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t first = piece(units, count, i).begin * unit;
    const Range rows{first, std::min(first + unit, array.rows())};
    add_rows(array, rows, block, hasher);
    hashed += rows.size();
  }
  return fmt::format("{} of {} rows", hasher.text(), hashed);
}

}  // namespace

std::string manifest(const hdf5::Array& images, const hdf5::Array& labels) {
  std::string text;
  for (const hdf5::Array* array : {&images, &labels}) {
    const std::string stored = stored_checksum(*array);
    text += fmt::format("{} {}\n", array->name(), stored.empty() ? sampled_checksum(*array) : stored);
  }
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
