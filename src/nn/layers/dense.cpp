#include "nn/layers/dense.h"

#include "base/check.h"

namespace lockstep::nn {

Dense::Dense(const config::Dense& settings, const Place& place)
    : name_(place.name()), has_bias_(settings.bias), output_{settings.units} {
  check(settings.units > 0, "a dense layer has units");
  if (place.input().rank() != 1) place.fail_input("inputs with one axis", "put `flatten` before it");
  op_ = {.in = place.input()[0], .out = settings.units};
  weight_ = {op_.out, op_.in};
  place.check_size("weight", weight_);
}

device::Op Dense::declare(Parameters& parameters) const {
  device::DenseOp op = op_;
  op.weight = parameters.declare(name_ + ".weight", weight_);
  if (has_bias_) op.bias = parameters.declare(name_ + ".bias", {op.out});
  return op;
}

}  // namespace lockstep::nn
