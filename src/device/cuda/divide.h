#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lockstep::device::cuda {

struct Division {
  std::int64_t quotient, remainder;
};

/// Of numbers that are not negative. A GPU divides 32 bits several times as fast as 64, and nearly all fit.
__device__ inline Division divide(std::int64_t dividend, std::int64_t divisor) {
  if ((dividend | divisor) >> 32U == 0) {
    const auto small = static_cast<std::uint32_t>(dividend);
    const auto by = static_cast<std::uint32_t>(divisor);
    const std::uint32_t quotient = small / by;
    return {quotient, small - quotient * by};
  }
  const std::int64_t quotient = dividend / divisor;
  return {quotient, dividend - quotient * divisor};
}

}  // namespace lockstep::device::cuda
