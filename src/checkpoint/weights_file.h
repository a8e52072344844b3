#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tensor/parameters.h"

namespace lockstep::checkpoint {

/// Facts stored beside the weights.
struct WeightsInfo {
  std::string experiment;  ///< name
  std::int64_t epoch = 0;  ///< finished
  std::int64_t step = 0;   ///< finished, over the whole training
  friend bool operator==(const WeightsInfo&, const WeightsInfo&) = default;
};

/// Writes the weights as named HDF5 data sets ("/weights/conv1.weight", float32, in the parameter's shape),
/// with attributes; beside the final name, fsync, rename. src/checkpoint/README.md describes the format.
/// `weights` is a slab. Error(io_error or cannot_create) leaves no partial file, and an older file under that
/// name as it was.
void write_weights(const std::string& path, const Parameters& parameters, std::span<const float> weights,
                   const WeightsInfo& info);

/// Reads them into a slab, its gaps as zeros. Error(no_input) when the file cannot be opened; Error(bad_data)
/// naming the file and the tensor when a name, shape, type or checksum does not fit; the slab is then
/// unspecified.
WeightsInfo read_weights(const std::string& path, const Parameters& parameters, std::span<float> weights);

/// The facts alone. Errors as of read_weights, but for the tensors.
WeightsInfo read_weights_info(const std::string& path);

}  // namespace lockstep::checkpoint
