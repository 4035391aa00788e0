// What vector_formats.h and vector_products.h need of AVX-512 (F, BW, DQ, VL, VNNI).
//
// Everything is in an anonymous namespace and calls no library function: each file that includes it gets its own copy.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace compute::cpu {
namespace {

// The integers of a panel: 16 weight rows.
struct Int512 {
  using Int = __m512i;
  using Float = __m512;
  static constexpr std::size_t lanes = 16;
  // Whether the dot products of a group are summed in 32 bits.
  static constexpr bool has_wide_sums = true;
  static constexpr std::size_t panels = 2;  // multiplied together with each activation
  struct Columns {
    Int c[4];
  };

  static Int ints(int x) { return _mm512_set1_epi32(x); }
  static Int bytes(int x) { return _mm512_set1_epi8(static_cast<char>(x)); }
  static Int load_ints(const void* p) { return _mm512_loadu_si512(p); }
  static Int both(Int a, Int b) { return _mm512_and_si512(a, b); }
  static Int either(Int a, Int b) { return _mm512_or_si512(a, b); }
  static Int sub(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  static Int left(Int x, unsigned n) { return _mm512_slli_epi32(x, n); }
  static Int right(Int x, unsigned n) { return _mm512_srli_epi32(x, n); }
  static Int signed_right(Int x, unsigned n) { return _mm512_srai_epi32(x, n); }
  static Float floats(float x) { return _mm512_set1_ps(x); }
  static Float to_floats(Int x) { return _mm512_cvtepi32_ps(x); }
  static Float low_halves(Int x) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)); }
  static Float load(const float* p) { return _mm512_load_ps(p); }
  static void store(float* p, Float x) { _mm512_store_ps(p, x); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float fnma(Float a, Float b, Float c) { return _mm512_fnmadd_ps(a, b, c); }

  // Unsigned weights times signed activations, four of them into each 32-bit lane.
  static constexpr std::size_t most_steps(int) { return 64; }
  static Int multiply(Int w, Int x) { return _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, x); }
  static Int multiply_add(Int sum, Int w, Int x) { return _mm512_dpbusd_epi32(sum, w, x); }
  static Int scale(Int x) { return x; }
  static Int add_scaled(Int total, Int sum, Int scale) {
    return _mm512_add_epi32(total, _mm512_mullo_epi32(sum, scale));
  }
  static Int pair(Int low, Int high) { return _mm512_mask_blend_epi16(0xaaaaaaaa, low, _mm512_slli_epi32(high, 16)); }
  static Int add_pairs(Int total, Int pairs, Int sums) { return _mm512_dpwssd_epi32(total, pairs, sums); }

  // As add_scaled with a scale of 1.
  static Int add_sum(Int total, Int sum) { return _mm512_add_epi32(total, sum); }

  // Signed weights are moved by 128 to be unsigned.
  static constexpr int signed_offset = 128;
  static Int prepare_signed(Int w) { return _mm512_xor_si512(w, bytes(0x80)); }
  static Int multiply_signed(Int w, Int x) { return multiply(w, x); }
  static Int multiply_add_signed(Int sum, Int w, Int x) { return multiply_add(sum, w, x); }

  // Tables of 16 bytes, and the values at the indices (0 to 15) in each byte.
  static Int repeat16(const void* p) { return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(p))); }
  static Int look_up(Int table, Int indices) { return _mm512_shuffle_epi8(table, indices); }

  // 0x10 in byte j of each lane of which bit 4k + j is set.
  static Int fifth_bits(Int x, unsigned k) {
    const Int first = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    const Int repeated = _mm512_shuffle_epi8(x, either(first, bytes(static_cast<int>(k / 2))));
    const Int bit = ints(k % 2 == 0 ? 0x08040201 : static_cast<int>(0x80402010));
    return _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(repeated, bit), bytes(0x10));
  }

  static __m128i load16(const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

  // 16 bytes of rows i, i+4, i+8 and i+12.
  [[gnu::always_inline]] static Int load_rows(const std::uint8_t* p, std::size_t stride) {
    Int z = _mm512_castsi128_si512(load16(p));
    z = _mm512_inserti32x4(z, load16(p + 4 * stride), 1);
    z = _mm512_inserti32x4(z, load16(p + 8 * stride), 2);
    return _mm512_inserti32x4(z, load16(p + 12 * stride), 3);
  }

  // 16 bytes at p of each of 16 rows.
  [[gnu::always_inline]] static Columns load_columns(const std::uint8_t* p, std::size_t stride) {
    const Int z0 = load_rows(p, stride);
    const Int z1 = load_rows(p + stride, stride);
    const Int z2 = load_rows(p + 2 * stride, stride);
    const Int z3 = load_rows(p + 3 * stride, stride);
    const Int low01 = _mm512_unpacklo_epi32(z0, z1);
    const Int high01 = _mm512_unpackhi_epi32(z0, z1);
    const Int low23 = _mm512_unpacklo_epi32(z2, z3);
    const Int high23 = _mm512_unpackhi_epi32(z2, z3);
    return {{_mm512_unpacklo_epi64(low01, low23), _mm512_unpackhi_epi64(low01, low23),
             _mm512_unpacklo_epi64(high01, high23), _mm512_unpackhi_epi64(high01, high23)}};
  }

  // The largest magnitude of floats, as bits.
  static std::uint32_t largest_magnitude(const float* x, std::size_t count) {
    Int largest = _mm512_setzero_si512();
    for (std::size_t i = 0; i < count; i += 16) {
      largest = _mm512_max_epi32(largest, both(_mm512_loadu_si512(x + i), ints(0x7fffffff)));
    }
    return static_cast<std::uint32_t>(_mm512_reduce_max_epi32(largest));
  }

  // 16 values of a group with a finite scale, or zeros.
  static Int quantised16(const float* x, float inverse) {
    if (inverse == 0) return _mm512_setzero_si512();
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(inverse)));
  }

  // Stores the values, returns their sum.
  static int quantise16(const float* x, float inverse, std::int8_t* q) {
    const Int v = quantised16(x, inverse);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(v));
    return _mm512_reduce_add_epi32(v);
  }

  // The same of 256 values, and the sums of each 16 of them.
  static void quantise256(const float* x, float inverse, std::int8_t* q, std::int16_t* sums) {
    const Int every_fourth = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const Int ones = _mm512_set1_epi16(1);
    Int fours[4];  // sums of four: four neighbouring ones make a group
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i, x += 64) {
      // Packing leaves four values of each vector in every 128 bits.
      const Int low = _mm512_packs_epi32(quantised16(x, inverse), quantised16(x + 16, inverse));
      const Int high = _mm512_packs_epi32(quantised16(x + 32, inverse), quantised16(x + 48, inverse));
      const Int values = _mm512_permutexvar_epi32(every_fourth, _mm512_packs_epi16(low, high));
      _mm512_storeu_si512(q + 64 * i, values);
      fours[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), bytes(1), values);
    }
    const Int eights_low = _mm512_madd_epi16(_mm512_packs_epi32(fours[0], fours[1]), ones);
    const Int eights_high = _mm512_madd_epi16(_mm512_packs_epi32(fours[2], fours[3]), ones);
    const Int groups = _mm512_madd_epi16(_mm512_packs_epi32(eights_low, eights_high), ones);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums),
                        _mm512_cvtepi32_epi16(_mm512_permutexvar_epi32(every_fourth, groups)));
  }
};

}  // namespace
}  // namespace compute::cpu
