// Weights for exact products on AMX tiles: scale · q of a weight, 14 bits at most with its sign, is taken apart into
// 256 · high + low, high signed and low not, so that each is a tile of bytes.
//
// Everything is in an anonymous namespace and calls no library function: each file that includes it gets its own copy.
#pragma once

#include "compute/cpu/amx_panels.h"

namespace compute::cpu {
namespace {

struct ExactFactors {
  Float d;
  Float dmin;
};

struct ExactPanel {
  std::int8_t high[steps][tile_bytes];
  std::uint8_t low[steps][tile_bytes];
  std::uint16_t mins[16][lanes][2];  // of each 16 columns, as BF16, twice: for both parts of their activations' sum
};

template <typename Format>
void unpack_exact(const std::uint8_t* p, std::size_t stride, ExactPanel& panel, ExactFactors& factors) {
  Factors f;
  Format::factors(p, stride, f);
  factors.d = f.d;
  if constexpr (Format::has_mins) {
    factors.dmin = f.dmin;
    constexpr std::size_t rows = 16 / Format::groups;  // of the tile, for each group
#pragma GCC unroll 16
    for (std::size_t g = 0; g < Format::groups; ++g) {
      const Int packed = f.pairs[g / 2];
      const Int min = g % 2 == 0 ? I::both(packed, I::ints(0xffff)) : I::right(packed, 16);
      const Int bits = _mm512_castps_si512(I::to_floats(min));
      for (std::size_t i = 0; i < rows; ++i)
        _mm512_store_si512(panel.mins[g * rows + i], I::either(bits, I::right(bits, 16)));
    }
  }
  // Scales as 16-bit pairs of bytes, (scale, 0) and (0, scale).
  const Int for_even = _mm512_set4_epi32(static_cast<int>(0x800c800cU), static_cast<int>(0x80088008U),
                                         static_cast<int>(0x80048004U), static_cast<int>(0x80008000U));
  const Int for_odd = _mm512_set4_epi32(0x0c800c80, 0x08800880, 0x04800480, 0x00800080);
  Int even_scale[Format::groups];
  Int odd_scale[Format::groups];
  Int offset[Format::groups];
#pragma GCC unroll 16
  for (std::size_t g = 0; g < Format::groups; ++g) {
    even_scale[g] = _mm512_shuffle_epi8(f.scale[g], for_even);
    odd_scale[g] = _mm512_shuffle_epi8(f.scale[g], for_odd);
    if constexpr (Format::offset != 0)
      offset[g] = _mm512_slli_epi16(twice(f.scale[g]), static_cast<unsigned>(__builtin_ctz(Format::offset)));
  }
  Format::each_column(
      p, stride, [&](std::size_t k, Int w) __attribute__((always_inline)) {
        const std::size_t g = k * Format::groups / 64;
        Int even = _mm512_maddubs_epi16(w, even_scale[g]);
        Int odd = _mm512_maddubs_epi16(w, odd_scale[g]);
        if constexpr (Format::offset != 0) {
          even = _mm512_sub_epi16(even, offset[g]);
          odd = _mm512_sub_epi16(odd, offset[g]);
        }
        _mm512_store_si512(panel.high[0] + k * 64, merge(_mm512_srli_epi16(even, 8), odd));
        _mm512_store_si512(panel.low[0] + k * 64, merge(even, _mm512_slli_epi16(odd, 8)));
      });
}

}  // namespace
}  // namespace compute::cpu
