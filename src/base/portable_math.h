#pragma once

#include <bit>
#include <cstdint>
#include <limits>

/// Elementary functions whose bits are the same on every processor. libm chooses variants by CPU, which
/// differ in the last bit; these use only IEEE additions, multiplications and divisions in a fixed order
/// (with -ffp-contract=off). NaN gives NaN. Free of branches on data in the float versions, so that loops
/// over them vectorise. They read no tables, so that a GPU's kernels may call them too.
namespace lockstep {
namespace portable_detail {

// Adding this makes the sum's low mantissa bits the nearest integer of a small value.
constexpr double round_to_integer = 0x1.8p52;
constexpr float round_to_integer_float = 0x1.8p23F;

constexpr double power_of_two(std::int64_t exponent) {  // -1022 <= exponent <= 1023
  return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52U);
}
constexpr float power_of_two_float(std::uint32_t exponent) {  // a two's complement number, -126 … 127
  return std::bit_cast<float>((exponent + 127U) << 23U);
}

// ln 2 in two parts; the first has few enough bits that its product with an exponent is exact.
constexpr double ln2_high = 0x1.62e42feep-1;
constexpr double ln2_low = 0x1.a39ef35793c76p-33;

}  // namespace portable_detail

/// eˣ within 2 ulp. x = n·ln 2 + r with |r| <= ln 2 / 2, and the Taylor series of eʳ to the 13th power.
constexpr double portable_exp(double x) {
  using namespace portable_detail;
  if (!(x <= 709.782712893384)) return x > 0 ? std::numeric_limits<double>::infinity() : x;
  if (x < -745.2) return 0;
  const double rounded = x * 0x1.71547652b82fep0 + round_to_integer;
  const double n = rounded - round_to_integer;
  const double r = (x - n * ln2_high) - n * ln2_low;
  double sum = 1.0 / 6227020800;
  sum = 1.0 / 479001600 + sum * r;
  sum = 1.0 / 39916800 + sum * r;
  sum = 1.0 / 3628800 + sum * r;
  sum = 1.0 / 362880 + sum * r;
  sum = 1.0 / 40320 + sum * r;
  sum = 1.0 / 5040 + sum * r;
  sum = 1.0 / 720 + sum * r;
  sum = 1.0 / 120 + sum * r;
  sum = 1.0 / 24 + sum * r;
  sum = 1.0 / 6 + sum * r;
  sum = 0.5 + sum * r;
  sum = 1 + sum * r;
  sum = 1 + sum * r;
  const auto exponent = static_cast<std::int64_t>(n);
  const std::int64_t half = exponent / 2;
  return sum * power_of_two(half) * power_of_two(exponent - half);
}

/// ln x within 2 ulp. x = 2ᵉ·m with m in [√½, √2), s = (m − 1) / (m + 1), ln m = 2 (s + s³/3 + s⁵/5 + …).
constexpr double portable_log(double x) {
  using namespace portable_detail;
  if (!(x > 0)) {
    if (x == 0) return -std::numeric_limits<double>::infinity();
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (x > std::numeric_limits<double>::max()) return x;
  std::int64_t exponent = 0;
  if (x < std::numeric_limits<double>::min()) {
    x *= 0x1p54;
    exponent = -54;
  }
  // Counting from the bits of √½ puts m into the wanted interval.
  constexpr std::uint64_t sqrt_half_bits = 0x3fe6a09e667f3bcdU;
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x) - sqrt_half_bits;
  const auto shift = static_cast<std::int64_t>(bits) >> 52U;
  exponent += shift;
  const double m = std::bit_cast<double>((bits & 0xfffffffffffffU) + sqrt_half_bits);
  const double s = (m - 1) / (m + 1);
  const double z = s * s;
  double series = 1.0 / 23 * z;
  series = (series + 1.0 / 21) * z;
  series = (series + 1.0 / 19) * z;
  series = (series + 1.0 / 17) * z;
  series = (series + 1.0 / 15) * z;
  series = (series + 1.0 / 13) * z;
  series = (series + 1.0 / 11) * z;
  series = (series + 1.0 / 9) * z;
  series = (series + 1.0 / 7) * z;
  series = (series + 1.0 / 5) * z;
  series = (series + 1.0 / 3) * z;
  const auto e = static_cast<double>(exponent);
  return e * ln2_high + (2 * s + (2 * s * series + e * ln2_low));
}

/// eˣ within 2 ulp of float; results below the smallest normal number lose precision gradually.
constexpr float portable_exp(float x) {
  using namespace portable_detail;
  x = x > 89.0F ? 89.0F : x;  // e⁸⁹ overflows to infinity in the last product
  x = x < -104.0F ? -104.0F : x;
  const float rounded = x * 0x1.715476p0F + round_to_integer_float;
  const float n = rounded - round_to_integer_float;
  const std::uint32_t exponent =
      std::bit_cast<std::uint32_t>(rounded) - std::bit_cast<std::uint32_t>(round_to_integer_float);
  const float r = (x - n * 0x1.62e4p-1F) - n * 0x1.7f7d1cp-20F;
  float sum = 1.0F / 5040;
  sum = sum * r + 1.0F / 720;
  sum = sum * r + 1.0F / 120;
  sum = sum * r + 1.0F / 24;
  sum = sum * r + 1.0F / 6;
  sum = sum * r + 0.5F;
  sum = sum * r * r + r;
  sum = sum + 1;
  const auto half = static_cast<std::uint32_t>(static_cast<std::int32_t>(exponent) >> 1U);
  return sum * power_of_two_float(half) * power_of_two_float(exponent - half);
}

/// 1 / (1 + e⁻ˣ).
constexpr float portable_sigmoid(float x) {
  return 1 / (1 + portable_exp(-x));
}

/// tanh x within 4 ulp: below 1 the seventh convergent of Lambert's continued fraction, x / (1 + x² / (3 + x²
/// / (5 + …))), above it 1 − 2 / (e²ˣ + 1).
constexpr float portable_tanh(float x) {
  const float magnitude = x < 0 ? -x : x;
  const float z = x * x;
  const float numerator = 135135 + z * (17325 + z * (378 + z));
  const float denominator = 135135 + z * (62370 + z * (3150 + z * 28));
  const float small = x * (numerator / denominator);
  const float large = 1 - 2 / (portable_exp(2 * magnitude) + 1);
  const float signed_large = x < 0 ? -large : large;
  return magnitude < 1 ? small : signed_large;
}

}  // namespace lockstep
