// Kernels for AVX2 with FMA and F16C. Products with quantised weights: 8 weight rows are the 8 lanes. A panel of 8 rows ×
// 256 columns is unpacked once to unsigned bytes, four consecutive columns in each 32-bit lane, and then, for every
// activation row (broadcast, signed bytes), vpmaddubsw sums pairs of products into 16 bits, as many as fit, and vpmaddwd
// with the group's scale brings them to 32 bits.
#include <immintrin.h>

#include "compute/cpu/kernels.h"
#include "compute/cpu/vector_float.h"

namespace compute::cpu {
namespace {

struct V256 {
  struct Reg {
    __m256 low;
    __m256 high;
  };
  static constexpr std::size_t tile_rows = 2;  // of product tiles
  static constexpr std::size_t tile_acts = 2;
  static constexpr std::size_t tile_vectors = 1;  // of attention tiles

  static Reg load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static Reg load_half(const void* p) {
    const auto* words = static_cast<const __m128i*>(p);
    return {_mm256_cvtph_ps(_mm_loadu_si128(words)), _mm256_cvtph_ps(_mm_loadu_si128(words + 1))};
  }
  static Reg load_bfloat(const void* p) {
    const auto* words = static_cast<const __m128i*>(p);
    return {widen_bfloat(_mm_loadu_si128(words)), widen_bfloat(_mm_loadu_si128(words + 1))};
  }
  static __m256 widen_bfloat(__m128i words) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
  }
  static void store(float* p, Reg x) {
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
  }
  static Reg zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Reg set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Reg add(Reg a, Reg b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
  static Reg sub(Reg a, Reg b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
  static Reg mul(Reg a, Reg b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
  static Reg div(Reg a, Reg b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
  static Reg max(Reg a, Reg b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
  static Reg fma(Reg a, Reg b, Reg c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static float scalar_fma(float a, float b, float c) {
    return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
  }
  static Reg negate(Reg a) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    return {_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
  }
  static Reg select_less(Reg a, Reg b, Reg yes, Reg no) {
    return {_mm256_blendv_ps(no.low, yes.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
            _mm256_blendv_ps(no.high, yes.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
  }
  // 2^n for shifted = n + 1.5 · 2^23.
  static __m256 power_of_two(__m256 shifted) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23), _mm256_set1_epi32(0x3f800000)));
  }
  static Reg power_of_two(Reg shifted) { return {power_of_two(shifted.low), power_of_two(shifted.high)}; }
  // (x0 c0 - x1 s0, x1 c0 + x0 s0, …) for cs = (c0, s0, …).
  static __m256 rotate(__m256 x, __m256 cs) {
    const __m256 swapped = _mm256_permute_ps(x, 0xb1);
    return _mm256_fmaddsub_ps(x, _mm256_moveldup_ps(cs), _mm256_mul_ps(swapped, _mm256_movehdup_ps(cs)));
  }
  static Reg rotate(Reg x, Reg cs) { return {rotate(x.low, cs.low), rotate(x.high, cs.high)}; }
  static Reg keep_first(Reg x, std::size_t count, Reg fill) {
    const __m256 limit = _mm256_set1_ps(static_cast<float>(count));
    const __m256 lane = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
    const Reg position = {lane, _mm256_add_ps(lane, _mm256_set1_ps(8))};
    return select_less(position, {limit, limit}, x, fill);
  }
  static float first(Reg x) { return _mm256_cvtss_f32(x.low); }
  static float sum(Reg x) {
    const __m256 eight = _mm256_add_ps(x.low, x.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float largest(Reg x) {
    const __m256 eight = _mm256_max_ps(x.low, x.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
};

using Float = FloatKernels<V256>;

void to_half(const float* x, std::size_t count, std::uint16_t* y) {
  for (std::size_t i = 0; i < count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
}

// --- activations to int8 ---------------------------------------------------------------------------------------------

// As scale_of in scalar.cpp.
float scale_of(std::uint32_t largest, float& inverse) {
  inverse = 0;
  if (largest >= 0x7f800000U) return __builtin_nanf("");
  const float amax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(largest))));
  if (amax < 0x1p-100F) return 0;
  inverse = 127.0F / amax;
  return amax / 127.0F;
}

std::uint32_t largest_magnitude(const float* x, std::size_t count) {
  __m256i largest = _mm256_setzero_si256();
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  for (std::size_t i = 0; i < count; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, magnitude));
  }
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(four));
}

// 16 values of a group with a finite scale, or zeros; returns their sum.
int quantise16(const float* x, float inverse, std::int8_t* q) {
  __m256i low = _mm256_setzero_si256();
  __m256i high = low;
  if (inverse != 0) {
    const __m256 factor = _mm256_set1_ps(inverse);
    low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), factor));
    high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), factor));
  }
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
  const __m128i first = _mm256_castsi256_si128(words);
  const __m128i second = _mm256_extracti128_si256(words, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm_packs_epi16(first, second));
  __m128i sum = _mm_madd_epi16(_mm_add_epi16(first, second), _mm_set1_epi16(1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  return _mm_cvtsi128_si32(sum);
}

void quantise_super(const float* x, std::size_t cols, SuperRow* out, std::size_t stride) {
  for (std::size_t b = 0; b < cols / 256; ++b, x += 256, out += stride) {
    float inverse;
    out->d = scale_of(largest_magnitude(x, 256), inverse);
    for (std::size_t g = 0; g < 16; ++g) {
      out->sums16[g] = static_cast<std::int16_t>(quantise16(x + g * 16, inverse, out->q + g * 16));
    }
    for (std::size_t g = 0; g < 8; ++g) out->sums32[g] = static_cast<std::int16_t>(out->sums16[2 * g] + out->sums16[2 * g + 1]);
  }
}

void quantise_small(const float* x, std::size_t cols, SmallRow* out, std::size_t stride) {
  for (std::size_t b = 0; b < cols / 32; ++b, x += 32, out += stride) {
    float inverse;
    out->d = scale_of(largest_magnitude(x, 32), inverse);
    out->sum = quantise16(x, inverse, out->q) + quantise16(x + 16, inverse, out->q + 16);
  }
}

// --- panels of 8 weight rows -----------------------------------------------------------------------------------------

constexpr std::size_t lanes = 8;

struct Columns {
  __m256i c[4];  // lane r of c[i]: bytes 4i to 4i+3 of row r
};

// 16 bytes of rows i and i+4.
[[gnu::always_inline]] inline __m256i gather_rows(const std::uint8_t* p, std::size_t stride) {
  return _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(p + 4 * stride), reinterpret_cast<const __m128i*>(p));
}

// 16 bytes at p of each of 8 rows.
[[gnu::always_inline]] inline Columns load_columns(const std::uint8_t* p, std::size_t stride) {
  const __m256i z0 = gather_rows(p, stride);
  const __m256i z1 = gather_rows(p + stride, stride);
  const __m256i z2 = gather_rows(p + 2 * stride, stride);
  const __m256i z3 = gather_rows(p + 3 * stride, stride);
  const __m256i low01 = _mm256_unpacklo_epi32(z0, z1);
  const __m256i high01 = _mm256_unpackhi_epi32(z0, z1);
  const __m256i low23 = _mm256_unpacklo_epi32(z2, z3);
  const __m256i high23 = _mm256_unpackhi_epi32(z2, z3);
  return {{_mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
           _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)}};
}

// The low 16 bits of each lane.
__m256 halves_to_floats(__m256i x) {
  const __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0xd8);
  return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}

__m256i bytes(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }

int load32(const void* p) {
  int value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

// The factors of 8 rows × 256 columns of a K-quant.
struct Factors {
  __m256i scale[16];  // of each group, twice in 16 bits
  __m256i pairs[8];   // two 16-bit factors per lane, for the sums of two groups of activations: mins, or Q6_K's scales
  __m256 d;
  __m256 dmin;
};

// Bytes 2i and 2i+1 of each lane as two 16-bit integers.
__m256i widen_pair(__m256i x, int i) {
  const __m256i low = _mm256_and_si256(_mm256_srli_epi32(x, 16 * i), _mm256_set1_epi32(0xff));
  const __m256i high = _mm256_and_si256(_mm256_srli_epi32(x, 16 * i + 8), _mm256_set1_epi32(0xff));
  return _mm256_or_si256(low, _mm256_slli_epi32(high, 16));
}

// The first 16 bytes of Q4_K and Q5_K: d, dmin, and 8 scales and mins in 12 bytes.
[[gnu::always_inline]] inline void unpack_header(const std::uint8_t* p, std::size_t stride, Factors& f) {
  const Columns header = load_columns(p, stride);
  f.d = halves_to_floats(header.c[0]);
  f.dmin = halves_to_floats(_mm256_srli_epi32(header.c[0], 16));
  const __m256i low6 = bytes(0x3f);
  const __m256i low4 = bytes(0x0f);
  const __m256i top2 = bytes(0x30);
  __m256i scale[2];
  __m256i min[2];
  scale[0] = _mm256_and_si256(header.c[1], low6);
  min[0] = _mm256_and_si256(header.c[2], low6);
  scale[1] = _mm256_or_si256(_mm256_and_si256(header.c[3], low4),
                             _mm256_and_si256(_mm256_srli_epi32(header.c[1], 2), top2));
  min[1] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32(header.c[3], 4), low4),
                           _mm256_and_si256(_mm256_srli_epi32(header.c[2], 2), top2));
#pragma GCC unroll 8
  for (int g = 0; g < 8; ++g) {
    const __m256i one = _mm256_and_si256(_mm256_srli_epi32(scale[g / 4], g % 4 * 8), _mm256_set1_epi32(0xff));
    f.scale[g] = _mm256_or_si256(one, _mm256_slli_epi32(one, 16));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) f.pairs[i] = widen_pair(min[i / 2], i % 2);
}

// Each format hands the sink its 64 vectors, sink(k, w): lane r of w holds columns 4k to 4k+3 of row r, unsigned. All is
// inlined and unrolled, so that a sink may keep what it makes of them in registers.
struct Q4_K {
  static constexpr std::size_t block_bytes = 144;
  static constexpr std::size_t groups = 8;
  static constexpr std::size_t steps = 8;  // whose sums fit in 16 bits: 8 · 2 · 15 · 127 < 2^15
  static constexpr bool has_mins = true;

  [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
    unpack_header(p, stride, f);
  }

  template <typename Sink>
  [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
    const __m256i low4 = bytes(0x0f);
#pragma GCC unroll 8
    for (std::size_t chunk = 0; chunk < 8; ++chunk) {
      const Columns packed = load_columns(p + 16 + chunk * 16, stride);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t k = chunk / 2 * 16 + chunk % 2 * 4 + i;
        sink(k, _mm256_and_si256(packed.c[i], low4));
        sink(k + 8, _mm256_and_si256(_mm256_srli_epi32(packed.c[i], 4), low4));
      }
    }
  }
};

struct Q5_K {
  static constexpr std::size_t block_bytes = 176;
  static constexpr std::size_t groups = 8;
  static constexpr std::size_t steps = 4;  // whose sums fit in 16 bits: 4 · 2 · 31 · 127 < 2^15
  static constexpr bool has_mins = true;

  [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
    unpack_header(p, stride, f);
  }

  template <typename Sink>
  [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
    const __m256i low4 = bytes(0x0f);
    const __m256i fifth = bytes(0x10);
#pragma GCC unroll 2
    for (std::size_t half = 0; half < 2; ++half) {
      const Columns high = load_columns(p + 16 + half * 16, stride);
#pragma GCC unroll 4
      for (int pair = 0; pair < 4; ++pair) {
        const Columns packed = load_columns(p + 48 + static_cast<std::size_t>(pair) * 32 + half * 16, stride);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < 4; ++i) {
          // Bit 2·pair of the high bytes belongs to the low nibbles, the next one to the high nibbles.
          const __m256i bits = _mm256_srli_epi32(high.c[i], 2 * pair);
          const std::size_t k = static_cast<std::size_t>(pair) * 16 + half * 4 + i;
          sink(k, _mm256_or_si256(_mm256_and_si256(packed.c[i], low4), _mm256_and_si256(_mm256_slli_epi32(bits, 4), fifth)));
          sink(k + 8, _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32(packed.c[i], 4), low4),
                                      _mm256_and_si256(_mm256_slli_epi32(bits, 3), fifth)));
        }
      }
    }
  }
};

struct Q6_K {
  static constexpr std::size_t block_bytes = 210;
  static constexpr std::size_t groups = 16;
  static constexpr std::size_t steps = 2;  // whose sums fit in 16 bits: 2 · 2 · 63 · 127 < 2^15
  static constexpr bool has_mins = false;

  [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
    const Columns scales = load_columns(p + 192, stride);
#pragma GCC unroll 16
    for (int g = 0; g < 16; ++g) {
      const __m256i one = _mm256_srai_epi32(_mm256_slli_epi32(scales.c[g / 4], 24 - g % 4 * 8), 24);
      f.scale[g] = _mm256_blend_epi16(one, _mm256_slli_epi32(one, 16), 0xaa);
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) {
      f.pairs[i] = _mm256_blend_epi16(f.scale[2 * i], f.scale[2 * i + 1], 0xaa);
    }
    f.d = halves_to_floats(_mm256_srli_epi32(load_columns(p + 194, stride).c[3], 16));
  }

  template <typename Sink>
  [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
    const __m256i low4 = bytes(0x0f);
    const __m256i top2 = bytes(0x30);
#pragma GCC unroll 4
    for (std::size_t quarter = 0; quarter < 4; ++quarter) {
      const std::size_t half = quarter / 2;
      const std::size_t chunk = quarter % 2;
      const Columns a = load_columns(p + half * 64 + chunk * 16, stride);
      const Columns b = load_columns(p + half * 64 + 32 + chunk * 16, stride);
      const Columns high = load_columns(p + 128 + half * 32 + chunk * 16, stride);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t k = half * 32 + chunk * 4 + i;
        sink(k, _mm256_or_si256(_mm256_and_si256(a.c[i], low4), _mm256_and_si256(_mm256_slli_epi32(high.c[i], 4), top2)));
        sink(k + 8, _mm256_or_si256(_mm256_and_si256(b.c[i], low4), _mm256_and_si256(_mm256_slli_epi32(high.c[i], 2), top2)));
        sink(k + 16, _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32(a.c[i], 4), low4), _mm256_and_si256(high.c[i], top2)));
        sink(k + 24, _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32(b.c[i], 4), low4),
                                     _mm256_and_si256(_mm256_srli_epi32(high.c[i], 2), top2)));
      }
    }
  }
};

// One superblock's part of the float chain: total = Σ scale · dot of the unsigned weights.
template <typename Format>
[[gnu::always_inline]] inline __m256 add_superblock(const Factors& f, const SuperRow& x, __m256i total, __m256 sum) {
  const __m256 da = _mm256_set1_ps(x.d);
  const __m256 d = _mm256_mul_ps(f.d, da);
  const std::int16_t* group_sums = Format::has_mins ? x.sums32 : x.sums16;
  __m256i offset = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (std::size_t i = 0; i < (Format::has_mins ? 4 : 8); ++i) {
    offset = _mm256_add_epi32(offset, _mm256_madd_epi16(f.pairs[i], _mm256_set1_epi32(load32(group_sums + 2 * i))));
  }
  if constexpr (Format::has_mins) {
    sum = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(total), sum);
    return _mm256_fnmadd_ps(_mm256_mul_ps(f.dmin, da), _mm256_cvtepi32_ps(offset), sum);
  } else {
    const __m256i isum = _mm256_sub_epi32(total, _mm256_slli_epi32(offset, 5));
    return _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(isum), sum);
  }
}

// A single activation row: weights go from the nibbles straight into the product, nothing is stored.
template <typename Format>
[[gnu::always_inline]] inline __m256 multiply_one(const std::uint8_t* p, std::size_t stride, const SuperRow& x, __m256 sum) {
  constexpr std::size_t steps = Format::steps;
  Factors f;
  Format::factors(p, stride, f);
  __m256i words[64 / steps];
  __m256i total = _mm256_setzero_si256();
  Format::each_column(p, stride, [&](std::size_t k, __m256i w) __attribute__((always_inline)) {
    const __m256i pairs = _mm256_maddubs_epi16(w, _mm256_set1_epi32(load32(x.q + k * 4)));
    words[k / steps] = k % steps == 0 ? pairs : _mm256_add_epi16(words[k / steps], pairs);
    if (k % steps == steps - 1) {
      total = _mm256_add_epi32(total, _mm256_madd_epi16(words[k / steps], f.scale[k * Format::groups / 64]));
    }
  });
  return add_superblock<Format>(f, x, total, sum);
}

// Several activation rows share 8 rows × 256 columns of weights, unpacked to the first-level cache.
struct Panel {
  __m256i q[64];
  Factors f;
};

// Adds one panel's products with A activation rows to sums[a][8].
template <typename Format, std::size_t A>
void multiply_panel(const Panel& panel, const SuperRow* x, float* sums) {
  constexpr std::size_t steps = Format::steps;
  constexpr std::size_t per_group = 64 / Format::groups;
  __m256i total[A];
  for (std::size_t a = 0; a < A; ++a) total[a] = _mm256_setzero_si256();
  for (std::size_t k = 0; k < 64; k += steps) {
    __m256i words[A];
    for (std::size_t a = 0; a < A; ++a) {
      words[a] = _mm256_maddubs_epi16(panel.q[k], _mm256_set1_epi32(load32(x[a].q + k * 4)));
    }
#pragma GCC unroll 1  // unrolled, GCC 12 regroups the sums and runs out of registers
    for (std::size_t i = k + 1; i < k + steps; ++i) {
      const __m256i w = panel.q[i];
      for (std::size_t a = 0; a < A; ++a) {
        words[a] = _mm256_add_epi16(words[a], _mm256_maddubs_epi16(w, _mm256_set1_epi32(load32(x[a].q + i * 4))));
      }
    }
    const __m256i scale = panel.f.scale[k / per_group];
    for (std::size_t a = 0; a < A; ++a) total[a] = _mm256_add_epi32(total[a], _mm256_madd_epi16(words[a], scale));
  }
  for (std::size_t a = 0; a < A; ++a) {
    const __m256 sum = _mm256_load_ps(sums + a * lanes);
    _mm256_store_ps(sums + a * lanes, add_superblock<Format>(panel.f, x[a], total[a], sum));
  }
}

void store_sums(const float* sums, std::size_t n, std::size_t rows, const Output& out, float* y) {
  for (std::size_t a = 0; a < n; ++a) {
    float* to = y + a * out.stride;
    const float* sum = sums + a * lanes;
    if (rows == lanes) {
      __m256 value = _mm256_load_ps(sum);
      if (out.add) value = _mm256_add_ps(_mm256_loadu_ps(to), value);
      _mm256_storeu_ps(to, value);
    } else {
      for (std::size_t r = 0; r < rows; ++r) to[r] = out.add ? to[r] + sum[r] : sum[r];
    }
  }
}

// Copies `rows` rows of `size` bytes into a panel's worth of rows, the rest of which stay zero.
void copy_rows(const std::uint8_t* from, std::size_t stride, std::size_t rows, std::size_t size, std::uint8_t* to) {
  for (std::size_t r = 0; r < rows; ++r) __builtin_memcpy(to + r * size, from + r * stride, size);
}

template <typename Format>
void multiply_block(const std::uint8_t* p, std::size_t stride, const SuperRow* x, std::size_t n, Panel& panel, float* sums) {
  if (n == 1) {
    _mm256_store_ps(sums, multiply_one<Format>(p, stride, *x, _mm256_load_ps(sums)));
    return;
  }
  Format::each_column(p, stride, [&](std::size_t k, __m256i w) __attribute__((always_inline)) { panel.q[k] = w; });
  Format::factors(p, stride, panel.f);
  std::size_t a = 0;
  for (; a + 4 <= n; a += 4) multiply_panel<Format, 4>(panel, x + a, sums + a * lanes);
  for (; a < n; ++a) multiply_panel<Format, 1>(panel, x + a, sums + a * lanes);
}

// Left to itself the processor does not follow 8 rows at once. The kernels therefore ask for the next 8, which follow in
// memory, in the order of addresses.
[[gnu::always_inline]] inline void prefetch_bytes(const std::uint8_t* p, std::size_t count) {
  for (std::size_t at = 0; at < count; at += 64) __builtin_prefetch(p + at, 0, 2);
}

template <typename Format>
void product(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
  const std::size_t blocks = w.cols / 256;
  alignas(64) float sums[block_rows * lanes];
  Panel panel;
  for (std::size_t r = 0; r < w.rows; r += lanes) {
    const std::size_t rows = w.rows - r < lanes ? w.rows - r : lanes;
    for (std::size_t i = 0; i < n * lanes; i += lanes) _mm256_store_ps(sums + i, _mm256_setzero_ps());
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::uint8_t* p = w.data + r * w.row_bytes + b * Format::block_bytes;
      prefetch_bytes(w.data + (r + lanes) * w.row_bytes + b * lanes * Format::block_bytes, lanes * Format::block_bytes);
      if (rows == lanes) {
        multiply_block<Format>(p, w.row_bytes, x + b * n, n, panel, sums);
      } else {
        std::uint8_t copy[lanes * Format::block_bytes] = {};
        copy_rows(p, w.row_bytes, rows, Format::block_bytes, copy);
        multiply_block<Format>(copy, Format::block_bytes, x + b * n, n, panel, sums);
      }
    }
    store_sums(sums, n, rows, out, out.y + r);
  }
}

// Q8_0: 8 rows × 32 columns at a time. vpmaddubsw wants one side unsigned: |w| against x with w's sign, at most
// 2 · 128 · 127 in 16 bits.
void product_q8_0(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
  constexpr std::size_t block_bytes = 34;
  const __m256i ones = _mm256_set1_epi16(1);
  alignas(64) float sums[block_rows * lanes];
  for (std::size_t r = 0; r < w.rows; r += lanes) {
    const std::size_t rows = w.rows - r < lanes ? w.rows - r : lanes;
    for (std::size_t i = 0; i < n * lanes; i += lanes) _mm256_store_ps(sums + i, _mm256_setzero_ps());
    for (std::size_t b = 0; b < w.cols / 32; ++b) {
      const std::uint8_t* p = w.data + r * w.row_bytes + b * block_bytes;
      prefetch_bytes(w.data + (r + lanes) * w.row_bytes + b * lanes * block_bytes, lanes * block_bytes);
      std::size_t stride = w.row_bytes;
      std::uint8_t copy[lanes * block_bytes];
      if (rows < lanes) {
        __builtin_memset(copy, 0, sizeof copy);
        copy_rows(p, stride, rows, block_bytes, copy);
        p = copy;
        stride = block_bytes;
      }
      alignas(16) std::uint16_t halves[lanes];
      for (std::size_t i = 0; i < lanes; ++i) __builtin_memcpy(&halves[i], p + i * stride, 2);
      const __m256 d = _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(halves)));
      const Columns part[2] = {load_columns(p + 2, stride), load_columns(p + 18, stride)};
      for (std::size_t a = 0; a < n; ++a) {
        const SmallRow& row = x[b * n + a];
        __m256i dot = _mm256_setzero_si256();
        for (std::size_t k = 0; k < 8; ++k) {
          const __m256i q = part[k / 4].c[k % 4];
          const __m256i signed_x = _mm256_sign_epi8(_mm256_set1_epi32(load32(row.q + k * 4)), q);
          dot = _mm256_add_epi32(dot, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(q), signed_x), ones));
        }
        const __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(row.d));
        const __m256 sum = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(dot), _mm256_load_ps(sums + a * lanes));
        _mm256_store_ps(sums + a * lanes, sum);
      }
    }
    store_sums(sums, n, rows, out, out.y + r);
  }
}

}  // namespace

const Kernels& avx2_kernels() {
  static const Kernels kernels = {
      .name = "AVX2",
      .quantise_super = quantise_super,
      .quantise_small = quantise_small,
      .product_q4_k = product<Q4_K>,
      .product_q5_k = product<Q5_K>,
      .product_q6_k = product<Q6_K>,
      .product_q8_0 = product_q8_0,
      .product_f32 = Float::product<Float::F32>,
      .product_f16 = Float::product<Float::F16>,
      .product_bf16 = Float::product<Float::BF16>,
      .rms_norm = Float::rms_norm,
      .swiglu = Float::swiglu,
      .rope = Float::rope,
      .to_half = to_half,
      .exponential = Float::exponential,
      .attend = Float::attend,
      .merge = Float::merge,
      .finish = Float::finish,
  };
  return kernels;
}

}  // namespace compute::cpu
