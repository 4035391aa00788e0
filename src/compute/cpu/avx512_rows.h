// The K-quants of the K_M mixes for vector_rows.h, with AVX-512: how a row's block is multiplied.
#pragma once

#include <immintrin.h>

#include "compute/cpu/vector_rows.h"

namespace compute::cpu {
namespace {

struct Rows512 {
  using Int = __m512i;

  [[gnu::always_inline]] static Int both_halves(__m256i low, __m256i high) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
  [[gnu::always_inline]] static Int bytes(int x) { return _mm512_set1_epi8(static_cast<char>(x)); }
  [[gnu::always_inline]] static __m256i load256(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  [[gnu::always_inline]] static Int repeat128(const void* p) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  [[gnu::always_inline]] static Int repeat256(const void* p) { return _mm512_broadcast_i64x4(load256(p)); }
  template <int lane0, int lane1, int lane2, int lane3>
  [[gnu::always_inline]] static Int permute32(Int x) {
    return _mm512_shuffle_epi32(x, static_cast<_MM_PERM_ENUM>(lane0 | lane1 << 2 | lane2 << 4 | lane3 << 6));
  }

  // 16 bytes of each row, one row to 128 bits.
  [[gnu::always_inline]] static Int load_rows(const FourRows& w) {
    const auto load = [](const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); };
    Int z = _mm512_castsi128_si512(load(w.row[0]));
    z = _mm512_inserti32x4(z, load(w.row[1]), 1);
    z = _mm512_inserti32x4(z, load(w.row[2]), 2);
    return _mm512_inserti32x4(z, load(w.row[3]), 3);
  }

  // The first 32 bits of each 128.
  [[gnu::always_inline]] static __m128i firsts(Int x) {
    const Int index = _mm512_set4_epi32(12, 8, 4, 0);
    return _mm512_castsi512_si128(_mm512_permutexvar_epi32(index, x));
  }

  [[gnu::always_inline]] static __m128i sums_of_lanes(const Int (&each)[4]) {
    const auto pairs = [](Int a, Int b) {
      return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    };
    const Int a = pairs(each[0], each[1]);
    const Int b = pairs(each[2], each[3]);
    const Int ab = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    const __m256i y = _mm256_add_epi32(_mm512_castsi512_si256(ab), _mm512_extracti64x4_epi64(ab, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
  }

  // The dot products of groups of four columns, of two vectors of columns: 16 bits are enough, for at most 4 · 63 ·
  // 127.
  [[gnu::always_inline]] static Int dots(Int w0, Int x0, Int w1, Int x1) {
    const Int zero = _mm512_setzero_si512();
    return _mm512_packs_epi32(_mm512_dpbusd_epi32(zero, w0, x0), _mm512_dpbusd_epi32(zero, w1, x1));
  }
};

// What Q4_K and Q5_K share: d, dmin, 8 scales and 8 mins of 6 bits, and the order of the groups of 32 columns. The
// bytes of 64 columns hold one group in the low nibbles and the next in the high ones; 64 bytes are loaded together, so
// that vector 2c has the groups 4c and 4c + 2, and vector 2c + 1 the groups 4c + 1 and 4c + 3.
template <typename Format>
struct MinRows512 : Rows512 {
  struct Header {
    Int factors;                      // 128 bits a row: 8 scales, then 8 mins, bytes
    alignas(64) std::uint8_t of[64];  // the same in memory
    Halves d;                         // d and dmin
  };

  [[gnu::always_inline]] static void unpack_header(const FourRows& w, Header& out) {
    // 32 bits each: d and dmin; four scales; four mins; the low and high nibbles of four more scales and mins, whose
    // two bits on top lie above those of the first.
    const Int packed = load_rows(w);
    const Int low = _mm512_and_si512(_mm512_srlv_epi32(permute32<1, 3, 2, 3>(packed), _mm512_set4_epi32(4, 0, 0, 0)),
                                     _mm512_set4_epi32(0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f));
    const Int tops = permute32<1, 1, 2, 2>(packed);
    const Int top = _mm512_and_si512(_mm512_srli_epi32(tops, 2), _mm512_set4_epi32(0x30303030, 0, 0x30303030, 0));
    out.factors = _mm512_or_si512(low, top);
    _mm512_store_si512(out.of, out.factors);
    out.d = halves(firsts(packed));
  }

  // Σ min · sum of the activations, of each row.
  [[gnu::always_inline]] static __m128i sum_mins(const Header& header, const SuperRow& x) {
    const Int mins = _mm512_unpackhi_epi8(header.factors, _mm512_setzero_si512());
    Int sum = _mm512_madd_epi16(mins, repeat128(x.sums32));
    sum = _mm512_add_epi32(sum, permute32<2, 3, 0, 1>(sum));
    sum = _mm512_add_epi32(sum, permute32<1, 0, 3, 2>(sum));
    return firsts(sum);
  }

  [[gnu::always_inline]] static void arrange(const SuperRow& x, Int (&out)[4]) {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      const std::int8_t* q = x.q + i / 2 * 128 + i % 2 * 32;
      out[i] = both_halves(load256(q), load256(q + 64));
    }
  }

  // 16-bit scales for what dots() makes of the vectors 2c and 2c + 1.
  [[gnu::always_inline]] static Int scales(Int factors, int c) {
    const auto words = [](int group) { return 0x80008000 | group * 0x00010001; };  // 0x80: a zero byte
    const auto two = [&](int low, int high) {
      return _mm256_setr_epi32(words(low), words(low), words(high), words(high), words(low), words(low), words(high),
                               words(high));
    };
    return _mm512_shuffle_epi8(factors, both_halves(two(4 * c, 4 * c + 1), two(4 * c + 2, 4 * c + 3)));
  }

  [[gnu::always_inline]] static void multiply(const FourRows& w, const SuperRow& x, __m128& acc) {
    Header header;
    unpack_header(w, header);
    Int values[4];
    arrange(x, values);
    Int sums[4];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      Int q[4];
      Format::unpack(w.row[i], q);
      const Int factors = repeat128(header.of + 16 * i);
      const Int first = dots(q[0], values[0], q[1], values[1]);
      const Int second = dots(q[2], values[2], q[3], values[3]);
      sums[i] = _mm512_dpwssd_epi32(_mm512_madd_epi16(first, scales(factors, 0)), second, scales(factors, 1));
    }
    add_product(acc, header.d.low, x.d, sums_of_lanes(sums));
    subtract_mins(acc, header.d.high, x.d, sum_mins(header, x));
  }
};

struct Q4KRows512 : MinRows512<Q4KRows512> {
  static constexpr std::size_t block_bytes = 144;

  [[gnu::always_inline]] static void unpack(const std::uint8_t* p, Int (&q)[4]) {
    const Int low4 = bytes(0x0f);
#pragma GCC unroll 2
    for (std::size_t c = 0; c < 2; ++c) {
      const Int packed = _mm512_loadu_si512(p + 16 + 64 * c);
      q[2 * c] = _mm512_and_si512(packed, low4);
      q[2 * c + 1] = _mm512_and_si512(_mm512_srli_epi16(packed, 4), low4);
    }
  }
};

struct Q5KRows512 : MinRows512<Q5KRows512> {
  static constexpr std::size_t block_bytes = 176;

  // Bit g of the 32 high bytes is the fifth bit of group g.
  [[gnu::always_inline]] static Int add_fifth(Int q, Int high, int low_group, int high_group) {
    const Int bits = both_halves(_mm256_set1_epi8(static_cast<char>(1 << low_group)),
                                 _mm256_set1_epi8(static_cast<char>(1 << high_group)));
    return _mm512_mask_add_epi8(q, _mm512_test_epi8_mask(high, bits), q, bytes(0x10));
  }

  [[gnu::always_inline]] static void unpack(const std::uint8_t* p, Int (&q)[4]) {
    const Int low4 = bytes(0x0f);
    const Int high = repeat256(p + 16);
#pragma GCC unroll 2
    for (int c = 0; c < 2; ++c) {
      const Int packed = _mm512_loadu_si512(p + 48 + 64 * c);
      q[2 * c] = add_fifth(_mm512_and_si512(packed, low4), high, 4 * c, 4 * c + 2);
      q[2 * c + 1] = add_fifth(_mm512_and_si512(_mm512_srli_epi16(packed, 4), low4), high, 4 * c + 1, 4 * c + 3);
    }
  }
};

// Weights are q − 32, in groups of 16 with scales of 8 bits.
struct Q6KRows512 : Rows512 {
  static constexpr std::size_t block_bytes = 210;

  // In the order of columns.
  [[gnu::always_inline]] static void unpack(const std::uint8_t* p, Int (&q)[4]) {
    const Int low4 = bytes(0x0f);
    const Int top2 = bytes(0x30);
    const Int left = both_halves(_mm256_set1_epi16(4), _mm256_set1_epi16(2));
    const Int right = both_halves(_mm256_setzero_si256(), _mm256_set1_epi16(2));
    const auto join = [&](Int low, Int high) {
      constexpr int low_or_high_and_mask = 0xf8;
      return _mm512_ternarylogic_epi32(_mm512_and_si512(low, low4), high, top2, low_or_high_and_mask);
    };
#pragma GCC unroll 2
    for (std::size_t half = 0; half < 2; ++half) {
      const Int packed = _mm512_loadu_si512(p + 64 * half);
      const Int high = repeat256(p + 128 + 32 * half);
      q[2 * half] = join(packed, _mm512_sllv_epi16(high, left));
      q[2 * half + 1] = join(_mm512_srli_epi16(packed, 4), _mm512_srlv_epi16(high, right));
    }
  }

  [[gnu::always_inline]] static void multiply(const FourRows& w, const SuperRow& x, __m128& acc) {
    // 16-bit lane 8 i + j of what dots() makes of vectors 2c and 2c + 1 is of group 8c + i, or with j > 3 8c + i + 4.
    const auto four_times = [](int i) { return static_cast<long long>(i) * 0x0001000100010001LL; };
    const Int first_groups = _mm512_setr_epi64(four_times(0), four_times(4), four_times(1), four_times(5),
                                               four_times(2), four_times(6), four_times(3), four_times(7));
    const Int second_groups = _mm512_add_epi16(first_groups, _mm512_set1_epi16(8));
    // −16 · the sums of the groups: added twice, they take 32 off every weight.
    const __m256i offset = _mm256_slli_epi16(_mm256_sub_epi16(_mm256_setzero_si256(), load256(x.sums16)), 4);
    Int sums[4];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      const std::uint8_t* p = w.row[i];
      Int q[4];
      unpack(p, q);
      const __m256i scale = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 192)));
      const Int wide = _mm512_castsi256_si512(scale);
      const Int first_scale = _mm512_permutexvar_epi16(first_groups, wide);
      const Int second_scale = _mm512_permutexvar_epi16(second_groups, wide);
      const Int first = dots(q[0], _mm512_load_si512(x.q), q[1], _mm512_load_si512(x.q + 64));
      const Int second = dots(q[2], _mm512_load_si512(x.q + 128), q[3], _mm512_load_si512(x.q + 192));
      const __m256i off = _mm256_dpwssd_epi32(_mm256_madd_epi16(scale, offset), scale, offset);
      sums[i] = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(_mm512_zextsi256_si512(off), first, first_scale), second,
                                    second_scale);
    }
    add_product(acc, load_halves(w, 208), x.d, sums_of_lanes(sums));
  }
};

}  // namespace
}  // namespace compute::cpu
