#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "support/temporary_folder.h"

namespace lockstep::testing {

/// An HDF5 file with so many training images and half as many for validation, 1×12×12 floats of four classes;
/// returns its path.
std::string write_samples(const std::string& path, std::int64_t samples);

/// A network with every kind of layer, trained on such a file by AdamW with a cosine schedule, in batches of
/// 32; changed by overrides as on the command line.
config::Experiment sample_experiment(const std::string& data, const std::vector<std::string>& overrides = {});

}  // namespace lockstep::testing
