#include "quant/half.h"

namespace quant {
namespace {

// The last float that rounds to a finite binary16 is just below 65520; subnormal halves are multiples of 2^-24.
constexpr std::uint32_t infinite_from = 0x477ff000;  // 65520
constexpr std::uint32_t normal_from = 0x38800000;    // 2^-14
constexpr std::uint32_t exponent_shift = (127 - 15) << 10;

// value >> shift, to nearest with ties to even; 1 <= shift <= 31.
constexpr std::uint32_t round_shift(std::uint32_t value, std::uint32_t shift) {
  const std::uint32_t half = std::uint32_t{1} << (shift - 1);
  const std::uint32_t odd = (value >> shift) & 1;
  return (value + half - 1 + odd) >> shift;
}

}  // namespace

// Integer arithmetic throughout: with denormals flushed, floating-point tricks would lose the subnormal values.
float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  std::uint32_t exponent = (bits >> 10) & 0x1f;
  std::uint32_t fraction = bits & 0x3ff;
  if (exponent == 31) {  // infinite, or NaN, which becomes quiet
    return std::bit_cast<float>(sign | 0x7f800000 | (fraction << 13) | (fraction != 0 ? 0x400000U : 0U));
  }
  if (exponent == 0) {
    if (fraction == 0) return std::bit_cast<float>(sign);
    exponent = 1;
    while ((fraction & 0x400) == 0) {
      fraction <<= 1;
      --exponent;  // wraps below zero and is right again after the addition of 112
    }
    fraction &= 0x3ff;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

std::uint16_t float_to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000;
  const std::uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<std::uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  if (magnitude >= infinite_from) return static_cast<std::uint16_t>(sign | 0x7c00);
  if (magnitude >= normal_from) {
    return static_cast<std::uint16_t>(sign | (round_shift(magnitude, 13) - exponent_shift));
  }
  const std::uint32_t exponent = magnitude >> 23;
  if (exponent < 102) return static_cast<std::uint16_t>(sign);  // below 2^-25, half of the smallest
  const std::uint32_t significand = (magnitude & 0x7fffff) | 0x800000;
  return static_cast<std::uint16_t>(sign | round_shift(significand, 126 - exponent));
}

std::uint16_t float_to_bfloat(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>(((bits >> 16) & 0x8000) | round_shift(bits & 0x7fffffff, 16));
}

}  // namespace quant
