#pragma once

#include <array>

#include "device/accelerator.h"

namespace lockstep::testing {

/// sum[i] = a[i] + b[i]; `sum` may be either.
inline void add(device::Accelerator& accelerator, device::Stream& stream, device::DeviceSpan<const float> a,
                device::DeviceSpan<const float> b, device::DeviceSpan<float> sum) {
  const std::array terms{a, b};
  accelerator.sum(stream, terms, std::array{device::TreeAddition{.into = 0, .from = 1}}, sum);
}

}  // namespace lockstep::testing
