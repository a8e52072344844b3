#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

/// The number formats that tensor cores take their inputs in.
namespace lockstep::standin {

inline float from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// To nearest, ties to even, as the conversions of cuda_bf16.h do.
inline std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return 0x7fff;
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// TF32 has a float's exponent and 10 bits of its fraction; to nearest, ties away from zero, as PTX's
/// cvt.rna.
inline float round_to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (!std::isfinite(value)) return value;
  return std::bit_cast<float>((bits + 0x1000) & ~std::uint32_t{0x1fff});
}

inline float round_to_bfloat16(float value) {
  return from_bfloat16(to_bfloat16(value));
}

}  // namespace lockstep::standin
