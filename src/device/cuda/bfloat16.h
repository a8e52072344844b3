#pragma once

#include <bit>
#include <cstdint>

namespace lockstep::device::cuda {

/// The upper half of a float.
struct Bfloat16 {
  std::uint16_t bits = 0;
};

/// To the nearest, of two equally near ones to the even one. NaN stays NaN.
constexpr Bfloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>(bits >> 16U | 0x40U)};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U)};
}

constexpr float to_float(Bfloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16U);
}
constexpr float to_float(float value) {
  return value;
}

}  // namespace lockstep::device::cuda
