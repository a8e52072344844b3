#include "nn/layers/make_layer.h"

#include "nn/layers/activation.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dense.h"
#include "nn/layers/dropout.h"
#include "nn/layers/flatten.h"
#include "nn/layers/pool2d.h"
#include "nn/overloaded.h"

namespace lockstep::nn {

std::unique_ptr<Layer> make_layer(const config::LayerSpec& spec, const Place& place) {
  using Made = std::unique_ptr<Layer>;
  using Function = device::ActivationOp::Kind;
  return std::visit(
      overloaded(
          [&](const config::Conv2d& settings) -> Made { return std::make_unique<Conv2d>(settings, place); },
          [&](const config::MaxPool& settings) -> Made { return std::make_unique<Pool2d>(settings, place); },
          [&](const config::AvgPool& settings) -> Made { return std::make_unique<Pool2d>(settings, place); },
          [&](const config::Dense& settings) -> Made { return std::make_unique<Dense>(settings, place); },
          [&](const config::Relu&) -> Made { return std::make_unique<Activation>(Function::relu, place); },
          [&](const config::Tanh&) -> Made { return std::make_unique<Activation>(Function::tanh, place); },
          [&](const config::Sigmoid&) -> Made {
            return std::make_unique<Activation>(Function::sigmoid, place);
          },
          [&](const config::Flatten&) -> Made { return std::make_unique<Flatten>(place); },
          [&](const config::Dropout& settings) -> Made {
            return std::make_unique<Dropout>(settings, place);
          }),
      spec);
}

}  // namespace lockstep::nn
