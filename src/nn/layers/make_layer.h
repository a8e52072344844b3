#pragma once

#include <memory>

#include "config/experiment.h"
#include "nn/layers/layer.h"
#include "nn/layers/place.h"

namespace lockstep::nn {

/// Makes the layer that `spec` describes. Error(bad_config) if its input does not fit.
std::unique_ptr<Layer> make_layer(const config::LayerSpec& spec, const Place& place);

}  // namespace lockstep::nn
