#include "nn/layers/activation.h"

namespace lockstep::nn {

Activation::Activation(device::ActivationOp::Kind kind, const Place& place)
    : kind_(kind), output_(place.input()) {}

device::Op Activation::declare(Parameters&) const {
  return device::ActivationOp{.kind = kind_, .count = output_.count()};
}

}  // namespace lockstep::nn
