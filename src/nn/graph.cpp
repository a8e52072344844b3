#include "nn/graph.h"

#include <fmt/format.h>

#include <memory>
#include <vector>

#include "base/error.h"
#include "nn/layers/layer.h"
#include "nn/layers/make_layer.h"
#include "nn/layers/place.h"

namespace lockstep::nn {
namespace {

/// The last layer must give each class a number.
void check_outputs(const Place& last, const Shape& output, std::int64_t classes,
                   std::int64_t smallest_label) {
  if (output.rank() != 1)
    last.fail_setting(fmt::format(
        "is the last layer and must give one axis of at least {} classes, but gives {}; end the model with "
        "`flatten` and a `dense` layer of {} units",
        classes, output.text(), classes));
  if (output[0] == classes - 1 && smallest_label == 1)
    last.fail_setting(fmt::format(
        "is the last layer and gives {} outputs, enough for classes 0 to {}, but the labels count from 1 to "
        "{}; subtract 1 from each label in the data file",
        output[0], output[0] - 1, output[0]));
  if (output[0] < classes)
    last.fail_setting(fmt::format(
        "is the last layer and gives {} outputs, but the labels need {} classes; the last `dense` layer "
        "must have at least {} units",
        output[0], classes, classes));
}

}  // namespace

device::Network build_network(const config::Experiment& experiment, const Shape& image, std::int64_t classes,
                              std::int64_t smallest_label) {
  if (experiment.model.empty())
    fail(ExitCode::bad_config, "{}: the model has no layers; list them under `model`", experiment.source);

  device::Network network;
  network.input = image;
  network.loss = experiment.loss;
  network.seed = experiment.seed;

  std::vector<std::unique_ptr<Layer>> layers;
  Shape shape = image;
  for (std::size_t index = 0; index < experiment.model.size(); ++index) {
    const config::Layer& layer = experiment.model[index];
    const Place place(experiment, index, shape);
    layers.push_back(make_layer(layer.spec, place));
    const Shape& output = layers.back()->output();
    place.check_size("output", output);
    if (index + 1 == experiment.model.size()) check_outputs(place, output, classes, smallest_label);
    network.nodes.push_back({.name = layer.name, .op = {}, .in = shape, .out = output});
    shape = output;
  }
  network.classes = shape[0];

  for (std::size_t index = layers.size(); index-- > 0;)
    network.nodes[index].op = layers[index]->declare(network.parameters);
  if (network.parameters.all().empty())
    fail(ExitCode::bad_config,
         "{}: the model has no layer with weights, so there is nothing to train; add a `dense` layer",
         experiment.source);
  return network;
}

}  // namespace lockstep::nn
