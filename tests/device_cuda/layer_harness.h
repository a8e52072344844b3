#pragma once

#include <vector>

#include "device/layer_cases.h"
#include "device_cuda/standin_device.h"

namespace lockstep::testing {

/// What dropout draws by.
struct Draw {
  std::vector<std::int64_t> rows;
  std::int64_t epoch = 0;
};

/// Runs the first node of `network` through its layer, forward and (in training) backward, in memory that the
/// stand-in has poisoned; fails the test where a cell of y or dx was not written. A maximum's layer stands
/// behind a ReLU if options.masks_relu says so. A network of three nodes is a layer, its ReLU and a max-pool,
/// all of which the layer may run.
BlockResult run_layer(const StandinDevice& device, config::Precision precision,
                      const device::Network& network, std::int64_t samples, const std::vector<float>& x,
                      const std::vector<float>& dy, const std::vector<float>& slab,
                      const BlockOptions& options, const Draw& draw = {});

}  // namespace lockstep::testing
