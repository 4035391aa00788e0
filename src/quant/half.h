// The two 16-bit floating-point formats of GGUF files, as bits.
#pragma once

#include <bit>
#include <cstdint>

namespace quant {

// IEEE binary16 to float; exact.
float half_to_float(std::uint16_t bits);

// Float to IEEE binary16: to nearest, ties to even; too large becomes infinite; NaN stays a (quiet) NaN.
std::uint16_t float_to_half(float value);

// bfloat16 is a float's upper half; exact.
inline float bfloat_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// To nearest, ties to even; NaN stays a (quiet) NaN.
std::uint16_t float_to_bfloat(float value);

}  // namespace quant
