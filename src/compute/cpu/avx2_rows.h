// The K-quants of the K_M mixes for vector_rows.h, with AVX2: how a row's block is multiplied.
#pragma once

#include <immintrin.h>

#include "compute/cpu/vector_rows.h"

namespace compute::cpu {
namespace {

struct Rows256 {
  using Int = __m256i;

  [[gnu::always_inline]] static Int bytes(int x) { return _mm256_set1_epi8(static_cast<char>(x)); }
  [[gnu::always_inline]] static Int load(const void* p) { return _mm256_loadu_si256(static_cast<const Int*>(p)); }
  [[gnu::always_inline]] static __m128i load128(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  }
  // Word i of each 128 bits, everywhere in them.
  [[gnu::always_inline]] static Int repeat_word(Int x, int i) {
    return _mm256_shuffle_epi8(x, _mm256_set1_epi16(static_cast<short>(2 * i | (2 * i + 1) << 8)));
  }
  // Scaled products of 32 columns, two in each of 16 bits before the scale: at most 2 · 63 · 127.
  [[gnu::always_inline]] static Int scaled(Int w, Int x, Int scale) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), scale);
  }
};

// What Q4_K and Q5_K share: d, dmin, 8 scales and 8 mins of 6 bits for groups of 32 columns.
template <typename Format>
struct MinRows256 : Rows256 {
  struct Header {
    Int factors[2];                   // 128 bits a row: 8 scales, then 8 mins, bytes
    alignas(32) std::uint8_t of[64];  // the same in memory
    Halves d;                         // d and dmin
  };

  [[gnu::always_inline]] static Int unpack_factors(Int packed) {
    const auto four = [](int a, int b, int c, int d) { return _mm256_setr_epi32(a, b, c, d, a, b, c, d); };
    // 32 bits each: d and dmin; four scales; four mins; the low and high nibbles of four more scales and mins, whose
    // two bits on top lie above those of the first.
    const Int low = _mm256_and_si256(_mm256_srlv_epi32(_mm256_shuffle_epi32(packed, 0xed), four(0, 0, 0, 4)),
                                     four(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    const Int top =
        _mm256_and_si256(_mm256_srli_epi32(_mm256_shuffle_epi32(packed, 0xa5), 2), four(0, 0x30303030, 0, 0x30303030));
    return _mm256_or_si256(low, top);
  }

  [[gnu::always_inline]] static void unpack_header(const FourRows& w, Header& out) {
    Int packed[2];
#pragma GCC unroll 2
    for (std::size_t i = 0; i < 2; ++i) {
      packed[i] = _mm256_set_m128i(load128(w.row[2 * i + 1]), load128(w.row[2 * i]));
      out.factors[i] = unpack_factors(packed[i]);
      _mm256_store_si256(reinterpret_cast<Int*>(out.of + 32 * i), out.factors[i]);
    }
    out.d = halves(_mm_unpacklo_epi64(firsts(packed[0]), firsts(packed[1])));
  }

  // The first 32 bits of each 128.
  [[gnu::always_inline]] static __m128i firsts(Int x) {
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  }

  // Σ min · sum of the activations, of each row.
  [[gnu::always_inline]] static __m128i sum_mins(const Header& header, const SuperRow& x) {
    const Int sums = _mm256_broadcastsi128_si256(load128(x.sums32));
    const auto products = [&](Int factors) {
      return _mm256_madd_epi16(_mm256_unpackhi_epi8(factors, _mm256_setzero_si256()), sums);
    };
    const Int pairs = _mm256_hadd_epi32(products(header.factors[0]), products(header.factors[1]));
    const Int all = _mm256_hadd_epi32(pairs, pairs);  // rows 0 and 2 below, 1 and 3 above
    return firsts(all);
  }

  [[gnu::always_inline]] static void multiply(const FourRows& w, const SuperRow& x, __m128& acc) {
    Header header;
    unpack_header(w, header);
    Int sums[4];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      const Int scale = _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(load128(header.of + 16 * i)));
      sums[i] = _mm256_setzero_si256();
#pragma GCC unroll 8
      for (int g = 0; g < 8; ++g) {
        const Int products = scaled(Format::group(w.row[i], g), load(x.q + 32 * g), repeat_word(scale, g));
        sums[i] = _mm256_add_epi32(sums[i], products);
      }
    }
    add_product(acc, header.d.low, x.d, sums_of_lanes(sums));
    subtract_mins(acc, header.d.high, x.d, sum_mins(header, x));
  }

  // The nibbles of group g.
  [[gnu::always_inline]] static Int nibbles(const std::uint8_t* p, int g) {
    const Int packed = load(p + g / 2 * 32);
    return _mm256_and_si256(g % 2 == 0 ? packed : _mm256_srli_epi16(packed, 4), bytes(0x0f));
  }
};

struct Q4KRows256 : MinRows256<Q4KRows256> {
  static constexpr std::size_t block_bytes = 144;

  [[gnu::always_inline]] static Int group(const std::uint8_t* p, int g) { return nibbles(p + 16, g); }
};

struct Q5KRows256 : MinRows256<Q5KRows256> {
  static constexpr std::size_t block_bytes = 176;

  // Bit g of the 32 high bytes is the fifth bit of group g.
  [[gnu::always_inline]] static Int group(const std::uint8_t* p, int g) {
    const Int high = load(p + 16);
    const Int moved = g < 4 ? _mm256_slli_epi16(high, 4 - g) : _mm256_srli_epi16(high, g - 4);
    return _mm256_or_si256(nibbles(p + 48, g), _mm256_and_si256(moved, bytes(0x10)));
  }
};

// Weights are q − 32, in groups of 16 with scales of 8 bits.
struct Q6KRows256 : Rows256 {
  static constexpr std::size_t block_bytes = 210;

  // Columns 32 v to 32 v + 31.
  [[gnu::always_inline]] static Int columns(const std::uint8_t* p, int v) {
    const int half = v / 4;
    const int quarter = v % 4;
    const Int packed = load(p + 64 * half + 32 * (quarter % 2));
    const Int low = _mm256_and_si256(quarter < 2 ? packed : _mm256_srli_epi16(packed, 4), bytes(0x0f));
    const Int high = load(p + 128 + 32 * half);
    const Int moved = quarter < 2 ? _mm256_slli_epi16(high, 4 - 2 * quarter) : _mm256_srli_epi16(high, 2 * quarter - 4);
    return _mm256_or_si256(low, _mm256_and_si256(moved, bytes(0x30)));
  }

  [[gnu::always_inline]] static void multiply(const FourRows& w, const SuperRow& x, __m128& acc) {
    const __m128i even_odd = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    Int sums[4];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      const __m128i packed = load128(w.row[i] + 192);
      const Int scale = _mm256_cvtepi8_epi16(packed);
      const Int arranged = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(packed, even_odd));
      const Int taken_off = _mm256_slli_epi32(_mm256_madd_epi16(scale, load(x.sums16)), 5);
      sums[i] = _mm256_sub_epi32(_mm256_setzero_si256(), taken_off);
#pragma GCC unroll 8
      for (int v = 0; v < 8; ++v) {
        const Int products = scaled(columns(w.row[i], v), load(x.q + 32 * v), repeat_word(arranged, v));
        sums[i] = _mm256_add_epi32(sums[i], products);
      }
    }
    add_product(acc, load_halves(w, 208), x.d, sums_of_lanes(sums));
  }
};

}  // namespace
}  // namespace compute::cpu
