#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "io/hdf5.h"
#include "io/hdf5_array.h"
#include "tensor/parameters.h"

/// What the files of this folder have in common: a format with a version, and data sets that each carry the
/// checksum of their values. Every Error names the file, and the data set where there is one.
namespace lockstep::checkpoint {

/// A kind of file, known by the attributes `format` and `version` of its root.
struct Format {
  std::string_view name;            ///< "lockstep weights"
  std::string_view what;            ///< for messages: "a file of Lockstep weights"
  std::int64_t version = 1;         ///< that is written
  std::int64_t oldest_version = 1;  ///< that is read
};

// src/checkpoint/README.md describes both.
inline constexpr Format weights_format{
    .name = "lockstep weights", .what = "a file of Lockstep weights", .version = 1};
inline constexpr Format checkpoint_format{
    .name = "lockstep checkpoint", .what = "a Lockstep checkpoint", .version = 2};

void write_format(const io::hdf5::NewFile& file, const Format& format);
/// Opens a file of this format. Error(no_input) when it cannot be opened, Error(bad_data) when it is damaged,
/// of another format or of another version.
io::hdf5::File open_checked(const std::string& path, const Format& format);

/// Checksums of data sets by their names in the file.
using Checksums = std::map<std::string, std::string>;

/// Writes a whole data set and its attribute `checksum`, which it returns.
std::string write_array(const io::hdf5::NewFile& file, const std::string& name, DType type,
                        const Shape& shape, const void* values);
/// The checksum that is stored with a data set. Error(bad_data) when there is none.
std::string stored_checksum(const io::hdf5::Array& array);
/// Reads all values of a data set of type `as`, and checks them. `values` has room for its shape.
void read_array(const io::hdf5::Array& array, DType as, void* values);
/// Checks the values of a data set, a block at a time.
void verify_array(const io::hdf5::Array& array);

/// Writes one tensor of a slab for each parameter: "<group>/<parameter>", whose group exists.
Checksums write_tensors(const io::hdf5::NewFile& file, const std::string& group, const Parameters& parameters,
                        std::span<const float> slab);
/// Reads them into a slab, its gaps as zeros. Error(bad_data) when a name, shape, type or checksum does not
/// fit; the slab is then unspecified.
void read_tensors(const io::hdf5::File& file, const std::string& path, const std::string& group,
                  const Parameters& parameters, std::span<float> slab);

}  // namespace lockstep::checkpoint
