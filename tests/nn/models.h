#pragma once

#include <vector>

#include "config/experiment.h"

namespace lockstep::testing {

/// An experiment "model.yaml" of these layers, named by kind and place ("conv2d_0"); layer i stands in line
/// 10 + i, column 5.
config::Experiment experiment_of(std::vector<config::LayerSpec> specs);

/// The two published experiments.
config::Experiment mnist_softmax();
config::Experiment mnist_cnn();

/// Valid padding and stride 1; stride = size.
config::Conv2d conv(std::int64_t filters, std::int64_t kernel);
config::MaxPool max_pool(std::int64_t size);
config::AvgPool avg_pool(std::int64_t size);
config::Dense dense(std::int64_t units);

}  // namespace lockstep::testing
