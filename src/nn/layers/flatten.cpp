#include "nn/layers/flatten.h"

namespace lockstep::nn {

Flatten::Flatten(const Place& place) : output_{place.input().count()} {}

device::Op Flatten::declare(Parameters&) const {
  return device::FlattenOp{.count = output_.count()};
}

}  // namespace lockstep::nn
