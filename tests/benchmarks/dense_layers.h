#pragma once

#include <vector>

#include "comparison.h"

namespace lockstep {

/// Registers the passes of dense layers that own kernels compute, forward and both gradients,
/// and oneDNN's beside them.
std::vector<Contest> register_dense_layers();

}  // namespace lockstep
