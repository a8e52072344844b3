#include "nn/layers/dropout.h"

#include "base/check.h"

namespace lockstep::nn {

Dropout::Dropout(const config::Dropout& settings, const Place& place)
    : rate_(settings.rate), stream_(place.ordinal_of_kind()), output_(place.input()) {
  check(rate_ >= 0 && rate_ < 1, "a dropout rate lies in [0, 1)");
}

device::Op Dropout::declare(Parameters&) const {
  return device::DropoutOp{.count = output_.count(), .rate = rate_, .stream = stream_};
}

}  // namespace lockstep::nn
