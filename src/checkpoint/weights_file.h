#pragma once

#include <span>
#include <string>

#include "tensor/parameters.h"

namespace lockstep::checkpoint {

/// Facts stored beside the weights.
struct WeightsInfo {
  std::string experiment;  ///< name
  std::int64_t epoch = 0;  ///< finished
  std::int64_t step = 0;   ///< finished, over the whole training
};

/// Writes the weights as named HDF5 data sets ("/weights/conv1.weight", float32, in the parameter's shape),
/// with attributes; beside the final name, fsync, rename. src/checkpoint/README.md describes the format.
/// Error(io_error or cannot_create) leaves no partial file.
void write_weights(const std::string& path, const Parameters& parameters, std::span<const float> weights,
                   const WeightsInfo& info);

/// Reads them into a slab. Error naming the file and the tensor when a name, shape or type does not fit
/// `parameters`.
WeightsInfo read_weights(const std::string& path, const Parameters& parameters, std::span<float> weights);

}  // namespace lockstep::checkpoint
