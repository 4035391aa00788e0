// Kernels for AVX-512 (F, BW, DQ, VL, VNNI). Products with quantised weights: 16 weight rows are the 16 lanes. A panel of
// 16 rows × 256 columns is unpacked once to unsigned bytes, four consecutive columns in each 32-bit lane, and then
//   dot[r] += Σ_4 w[r][k..k+3] x[a][k..k+3]      (vpdpbusd, x broadcast from memory)
// runs for every activation row a: 64 instructions for 16 × 256 products, and one float chain per lane.
#include <immintrin.h>

#include "compute/cpu/kernels.h"
#include "compute/cpu/vector_float.h"

namespace compute::cpu {
namespace {

struct V512 {
  using Reg = __m512;
  static constexpr std::size_t tile_rows = 4;  // of product tiles
  static constexpr std::size_t tile_acts = 4;
  static constexpr std::size_t tile_vectors = 4;  // of attention tiles

  static Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static Reg load_half(const void* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
  static Reg load_bfloat(const void* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static void store(float* p, Reg x) { _mm512_storeu_ps(p, x); }
  static Reg zero() { return _mm512_setzero_ps(); }
  static Reg set(float x) { return _mm512_set1_ps(x); }
  static Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  static Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg div(Reg a, Reg b) { return _mm512_div_ps(a, b); }
  static Reg max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static float scalar_fma(float a, float b, float c) {
    return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
  }
  static Reg negate(Reg a) { return _mm512_xor_ps(a, set(-0.0F)); }
  static Reg select_less(Reg a, Reg b, Reg yes, Reg no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }
  // 2^n for shifted = n + 1.5 · 2^23.
  static Reg power_of_two(Reg shifted) {
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23), _mm512_set1_epi32(0x3f800000)));
  }
  // (x0 c0 - x1 s0, x1 c0 + x0 s0, …) for cs = (c0, s0, …).
  static Reg rotate(Reg x, Reg cs) {
    const Reg swapped = _mm512_permute_ps(x, 0xb1);
    return _mm512_fmaddsub_ps(x, _mm512_moveldup_ps(cs), _mm512_mul_ps(swapped, _mm512_movehdup_ps(cs)));
  }
  static Reg keep_first(Reg x, std::size_t count, Reg fill) {
    const auto mask = static_cast<__mmask16>(count >= 16 ? 0xffffU : (1U << count) - 1U);
    return _mm512_mask_blend_ps(mask, fill, x);
  }
  static float first(Reg x) { return _mm512_cvtss_f32(x); }
  static float sum(Reg x) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float largest(Reg x) { return _mm512_reduce_max_ps(x); }
};

using Float = FloatKernels<V512>;

void to_half(const float* x, std::size_t count, std::uint16_t* y) {
  for (std::size_t i = 0; i < count; i += 16) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i),
                        _mm512_cvtps_ph(_mm512_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
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
  __m512i largest = _mm512_setzero_si512();
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  for (std::size_t i = 0; i < count; i += 16) {
    largest = _mm512_max_epi32(largest, _mm512_and_si512(_mm512_loadu_si512(x + i), magnitude));
  }
  return static_cast<std::uint32_t>(_mm512_reduce_max_epi32(largest));
}

// 16 values of a group with a finite scale, or zeros; returns their sum.
int quantise16(const float* x, float inverse, std::int8_t* q) {
  __m512i v = _mm512_setzero_si512();
  if (inverse != 0) v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(inverse)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(v));
  return _mm512_reduce_add_epi32(v);
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

// --- panels of 16 weight rows ----------------------------------------------------------------------------------------

constexpr std::size_t lanes = 16;

struct Columns {
  __m512i c[4];  // lane r of c[i]: bytes 4i to 4i+3 of row r
};

__m128i load16(const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

// Rows i, i+4, i+8, i+12.
[[gnu::always_inline]] inline __m512i gather_rows(const std::uint8_t* p, std::size_t stride) {
  __m512i z = _mm512_castsi128_si512(load16(p));
  z = _mm512_inserti32x4(z, load16(p + 4 * stride), 1);
  z = _mm512_inserti32x4(z, load16(p + 8 * stride), 2);
  return _mm512_inserti32x4(z, load16(p + 12 * stride), 3);
}

// 16 bytes at p of each of 16 rows.
[[gnu::always_inline]] inline Columns load_columns(const std::uint8_t* p, std::size_t stride) {
  const __m512i z0 = gather_rows(p, stride);
  const __m512i z1 = gather_rows(p + stride, stride);
  const __m512i z2 = gather_rows(p + 2 * stride, stride);
  const __m512i z3 = gather_rows(p + 3 * stride, stride);
  const __m512i low01 = _mm512_unpacklo_epi32(z0, z1);
  const __m512i high01 = _mm512_unpackhi_epi32(z0, z1);
  const __m512i low23 = _mm512_unpacklo_epi32(z2, z3);
  const __m512i high23 = _mm512_unpackhi_epi32(z2, z3);
  return {{_mm512_unpacklo_epi64(low01, low23), _mm512_unpackhi_epi64(low01, low23),
           _mm512_unpacklo_epi64(high01, high23), _mm512_unpackhi_epi64(high01, high23)}};
}

__m512 halves_to_floats(__m512i low_words) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(low_words)); }

__m512i bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }

int load32(const void* p) {
  int value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

// The factors of 16 rows × 256 columns of a K-quant.
struct Factors {
  __m512i scale[16];  // of each group
  __m512i pairs[8];   // two 16-bit factors per lane, for the sums of two groups of activations: mins, or Q6_K's scales
  __m512 d;
  __m512 dmin;
};

// Bytes 2i and 2i+1 of each lane as two 16-bit integers.
__m512i widen_pair(__m512i x, unsigned i) {
  const __m512i low = _mm512_and_si512(_mm512_srli_epi32(x, 16 * i), _mm512_set1_epi32(0xff));
  const __m512i high = _mm512_and_si512(_mm512_srli_epi32(x, 16 * i + 8), _mm512_set1_epi32(0xff));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// The first 16 bytes of Q4_K and Q5_K: d, dmin, and 8 scales and mins in 12 bytes.
[[gnu::always_inline]] inline void unpack_header(const std::uint8_t* p, std::size_t stride, Factors& f) {
  const Columns header = load_columns(p, stride);
  f.d = halves_to_floats(header.c[0]);
  f.dmin = halves_to_floats(_mm512_srli_epi32(header.c[0], 16));
  const __m512i low6 = bytes(0x3f);
  const __m512i low4 = bytes(0x0f);
  const __m512i top2 = bytes(0x30);
  __m512i scale[2];
  __m512i min[2];
  scale[0] = _mm512_and_si512(header.c[1], low6);
  min[0] = _mm512_and_si512(header.c[2], low6);
  scale[1] = _mm512_or_si512(_mm512_and_si512(header.c[3], low4),
                             _mm512_and_si512(_mm512_srli_epi32(header.c[1], 2), top2));
  min[1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(header.c[3], 4), low4),
                           _mm512_and_si512(_mm512_srli_epi32(header.c[2], 2), top2));
#pragma GCC unroll 8
  for (unsigned g = 0; g < 8; ++g) {
    f.scale[g] = _mm512_and_si512(_mm512_srli_epi32(scale[g / 4], g % 4 * 8), _mm512_set1_epi32(0xff));
  }
#pragma GCC unroll 4
  for (unsigned i = 0; i < 4; ++i) f.pairs[i] = widen_pair(min[i / 2], i % 2);
}

// Each format hands the sink its 64 vectors, sink(k, w): lane r of w holds columns 4k to 4k+3 of row r, unsigned. Those of
// a group come in ascending order and soon after one another. All is inlined and unrolled, so that a sink may keep what it
// makes of them in registers.
struct Q4_K {
  static constexpr std::size_t block_bytes = 144;
  static constexpr std::size_t groups = 8;
  static constexpr bool has_mins = true;

  [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
    unpack_header(p, stride, f);
  }

  template <typename Sink>
  [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
    const __m512i low4 = bytes(0x0f);
#pragma GCC unroll 8
    for (std::size_t chunk = 0; chunk < 8; ++chunk) {
      const Columns packed = load_columns(p + 16 + chunk * 16, stride);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t k = chunk / 2 * 16 + chunk % 2 * 4 + i;
        sink(k, _mm512_and_si512(packed.c[i], low4));
        sink(k + 8, _mm512_and_si512(_mm512_srli_epi32(packed.c[i], 4), low4));
      }
    }
  }
};

struct Q5_K {
  static constexpr std::size_t block_bytes = 176;
  static constexpr std::size_t groups = 8;
  static constexpr bool has_mins = true;

  [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
    unpack_header(p, stride, f);
  }

  template <typename Sink>
  [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
    const __m512i low4 = bytes(0x0f);
    const __m512i fifth = bytes(0x10);
    const Columns high[2] = {load_columns(p + 16, stride), load_columns(p + 32, stride)};
#pragma GCC unroll 4
    for (unsigned pair = 0; pair < 4; ++pair) {
#pragma GCC unroll 2
      for (std::size_t half = 0; half < 2; ++half) {
        const Columns packed = load_columns(p + 48 + pair * 32 + half * 16, stride);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < 4; ++i) {
          // Bit 2·pair of the high bytes belongs to the low nibbles, the next one to the high nibbles.
          const __m512i bits = _mm512_srli_epi32(high[half].c[i], 2 * pair);
          const std::size_t k = pair * 16 + half * 4 + i;
          sink(k, _mm512_or_si512(_mm512_and_si512(packed.c[i], low4), _mm512_and_si512(_mm512_slli_epi32(bits, 4), fifth)));
          sink(k + 8, _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(packed.c[i], 4), low4),
                                      _mm512_and_si512(_mm512_slli_epi32(bits, 3), fifth)));
        }
      }
    }
  }
};

struct Q6_K {
  static constexpr std::size_t block_bytes = 210;
  static constexpr std::size_t groups = 16;
  static constexpr bool has_mins = false;

  [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
    const Columns scales = load_columns(p + 192, stride);
#pragma GCC unroll 16
    for (unsigned g = 0; g < 16; ++g) {
      f.scale[g] = _mm512_srai_epi32(_mm512_slli_epi32(scales.c[g / 4], 24 - g % 4 * 8), 24);
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) {
      f.pairs[i] = _mm512_mask_blend_epi16(0xaaaaaaaa, f.scale[2 * i], _mm512_slli_epi32(f.scale[2 * i + 1], 16));
    }
    f.d = halves_to_floats(_mm512_srli_epi32(load_columns(p + 194, stride).c[3], 16));
  }

  template <typename Sink>
  [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
    const __m512i low4 = bytes(0x0f);
    const __m512i top2 = bytes(0x30);
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
        sink(k, _mm512_or_si512(_mm512_and_si512(a.c[i], low4), _mm512_and_si512(_mm512_slli_epi32(high.c[i], 4), top2)));
        sink(k + 8, _mm512_or_si512(_mm512_and_si512(b.c[i], low4), _mm512_and_si512(_mm512_slli_epi32(high.c[i], 2), top2)));
        sink(k + 16, _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(a.c[i], 4), low4), _mm512_and_si512(high.c[i], top2)));
        sink(k + 24, _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(b.c[i], 4), low4),
                                     _mm512_and_si512(_mm512_srli_epi32(high.c[i], 2), top2)));
      }
    }
  }
};

// One superblock's part of the float chain: total = Σ scale · dot of the unsigned weights.
template <typename Format>
[[gnu::always_inline]] inline __m512 add_superblock(const Factors& f, const SuperRow& x, __m512i total, __m512 sum) {
  const __m512 da = _mm512_set1_ps(x.d);
  const __m512 d = _mm512_mul_ps(f.d, da);
  __m512i offset = _mm512_setzero_si512();
  if constexpr (Format::has_mins) {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      offset = _mm512_dpwssd_epi32(offset, f.pairs[i], _mm512_set1_epi32(load32(x.sums32 + 2 * i)));
    }
    sum = _mm512_fmadd_ps(d, _mm512_cvtepi32_ps(total), sum);
    return _mm512_fnmadd_ps(_mm512_mul_ps(f.dmin, da), _mm512_cvtepi32_ps(offset), sum);
  } else {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) {
      offset = _mm512_dpwssd_epi32(offset, f.pairs[i], _mm512_set1_epi32(load32(x.sums16 + 2 * i)));
    }
    const __m512i isum = _mm512_sub_epi32(total, _mm512_slli_epi32(offset, 5));
    return _mm512_fmadd_ps(d, _mm512_cvtepi32_ps(isum), sum);
  }
}

// Few activation rows: weights go from the nibbles straight into the products, nothing is stored between. Adds to
// sums[a][16].
template <typename Format, std::size_t A>
void multiply_directly(const std::uint8_t* p, std::size_t stride, const SuperRow* x, float* sums) {
  constexpr std::size_t steps = 64 / Format::groups;
  Factors f;
  Format::factors(p, stride, f);
  __m512i dot[Format::groups][A];
  __m512i total[A];
#pragma GCC unroll 8
  for (std::size_t a = 0; a < A; ++a) total[a] = _mm512_setzero_si512();
  Format::each_column(p, stride, [&](std::size_t k, __m512i w) __attribute__((always_inline)) {
    const std::size_t g = k / steps;
#pragma GCC unroll 8
    for (std::size_t a = 0; a < A; ++a) {
      const __m512i before = k % steps == 0 ? _mm512_setzero_si512() : dot[g][a];
      dot[g][a] = _mm512_dpbusd_epi32(before, w, _mm512_set1_epi32(load32(x[a].q + k * 4)));
      if (k % steps == steps - 1) total[a] = _mm512_add_epi32(total[a], _mm512_mullo_epi32(dot[g][a], f.scale[g]));
    }
  });
#pragma GCC unroll 8
  for (std::size_t a = 0; a < A; ++a) {
    float* to = sums + a * lanes;
    _mm512_store_ps(to, add_superblock<Format>(f, x[a], total[a], _mm512_load_ps(to)));
  }
}

// Several activation rows share 16 rows × 256 columns of weights, unpacked to the first-level cache.
struct Panel {
  __m512i q[64];
  Factors f;
};

// Adds the products of P panels with A activation rows to sums[p][a][16].
template <typename Format, std::size_t P, std::size_t A>
void multiply_panels(const Panel* panels, const SuperRow* x, float* sums) {
  constexpr std::size_t steps = 64 / Format::groups;
  __m512i total[P][A];
#pragma GCC unroll 8
  for (std::size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
    for (std::size_t a = 0; a < A; ++a) total[p][a] = _mm512_setzero_si512();
  }
  for (std::size_t g = 0; g < Format::groups; ++g) {
    __m512i dot[P][A];
#pragma GCC unroll 8
    for (std::size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
      for (std::size_t a = 0; a < A; ++a) dot[p][a] = _mm512_setzero_si512();
    }
#pragma GCC unroll 8
    for (std::size_t k = 0; k < steps; ++k) {
      __m512i w[P];
#pragma GCC unroll 8
      for (std::size_t p = 0; p < P; ++p) w[p] = panels[p].q[g * steps + k];
#pragma GCC unroll 8
      for (std::size_t a = 0; a < A; ++a) {
        const __m512i values = _mm512_set1_epi32(load32(x[a].q + (g * steps + k) * 4));
#pragma GCC unroll 8
        for (std::size_t p = 0; p < P; ++p) dot[p][a] = _mm512_dpbusd_epi32(dot[p][a], w[p], values);
      }
    }
#pragma GCC unroll 8
    for (std::size_t p = 0; p < P; ++p) {
      const __m512i scale = panels[p].f.scale[g];
#pragma GCC unroll 8
      for (std::size_t a = 0; a < A; ++a) total[p][a] = _mm512_add_epi32(total[p][a], _mm512_mullo_epi32(dot[p][a], scale));
    }
  }
#pragma GCC unroll 8
  for (std::size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
    for (std::size_t a = 0; a < A; ++a) {
      float* to = sums + (p * block_rows + a) * lanes;
      _mm512_store_ps(to, add_superblock<Format>(panels[p].f, x[a], total[p][a], _mm512_load_ps(to)));
    }
  }
}

void store_sums(const float* sums, std::size_t n, std::size_t rows, const Output& out, float* y) {
  const auto mask = static_cast<__mmask16>((1U << rows) - 1U);
  for (std::size_t a = 0; a < n; ++a) {
    __m512 sum = _mm512_load_ps(sums + a * lanes);
    float* to = y + a * out.stride;
    if (out.add) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sum);
    _mm512_mask_storeu_ps(to, mask, sum);
  }
}

// Copies `rows` rows of `size` bytes into a panel's worth of rows, the rest of which stay zero.
void copy_rows(const std::uint8_t* from, std::size_t stride, std::size_t rows, std::size_t size, std::uint8_t* to) {
  for (std::size_t r = 0; r < rows; ++r) __builtin_memcpy(to + r * size, from + r * stride, size);
}

template <typename Format>
void unpack(const std::uint8_t* p, std::size_t stride, Panel& panel) {
  Format::each_column(p, stride, [&](std::size_t k, __m512i w) __attribute__((always_inline)) { panel.q[k] = w; });
  Format::factors(p, stride, panel.f);
}

template <typename Format, std::size_t P>
void multiply_all(const Panel* panels, const SuperRow* x, std::size_t n, float* sums) {
  constexpr std::size_t most = P == 1 ? 8 : 4;
  std::size_t a = 0;
  for (; a + most <= n; a += most) multiply_panels<Format, P, most>(panels, x + a, sums + a * lanes);
  for (; a + 2 <= n; a += 2) multiply_panels<Format, P, 2>(panels, x + a, sums + a * lanes);
  for (; a < n; ++a) multiply_panels<Format, P, 1>(panels, x + a, sums + a * lanes);
}

// Left to itself the processor does not follow 16 rows at once. The kernels therefore ask for the next 16, which follow in
// memory, in the order of addresses.
[[gnu::always_inline]] inline void prefetch_bytes(const std::uint8_t* p, std::size_t count) {
  for (std::size_t at = 0; at < count; at += 64) __builtin_prefetch(p + at, 0, 2);
}

void clear(float* sums, std::size_t n) {
  for (std::size_t a = 0; a < n; ++a) _mm512_store_ps(sums + a * lanes, _mm512_setzero_ps());
}

// Calls body(start of the block's first row, stride) for rows r to r+15; where the weight has fewer rows left, on a copy
// with the missing rows zero.
template <typename Format, typename Body>
[[gnu::always_inline]] inline void with_rows(const WeightRows& w, std::size_t r, std::size_t block, Body body) {
  const std::uint8_t* p = w.data + r * w.row_bytes + block * Format::block_bytes;
  if (w.rows - r >= lanes) {
    body(p, w.row_bytes);
  } else {
    std::uint8_t copy[lanes * Format::block_bytes] = {};
    copy_rows(p, w.row_bytes, w.rows - r, Format::block_bytes, copy);
    body(copy, Format::block_bytes);
  }
}

template <typename Format, std::size_t A>
void product_directly(const WeightRows& w, const SuperRow* x, const Output& out) {
  alignas(64) float sums[A * lanes];
  for (std::size_t r = 0; r < w.rows; r += lanes) {
    clear(sums, A);
    for (std::size_t b = 0; b < w.cols / 256; ++b) {
      constexpr std::size_t size = lanes * Format::block_bytes;
      prefetch_bytes(w.data + (r + lanes) * w.row_bytes + b * size, size);
      with_rows<Format>(w, r, b, [&](const std::uint8_t* p, std::size_t stride) {
        multiply_directly<Format, A>(p, stride, x + b * A, sums);
      });
    }
    store_sums(sums, A, w.rows - r < lanes ? w.rows - r : lanes, out, out.y + r);
  }
}

// Rows r to r + 16 P - 1; the last of the P panels may have fewer rows.
template <typename Format, std::size_t P>
void product_panels(const WeightRows& w, std::size_t r, const SuperRow* x, std::size_t n, const Output& out) {
  alignas(64) float sums[P * block_rows * lanes];
  Panel panels[P];
  for (std::size_t p = 0; p < P; ++p) clear(sums + p * block_rows * lanes, n);
  for (std::size_t b = 0; b < w.cols / 256; ++b) {
    constexpr std::size_t size = P * lanes * Format::block_bytes;
    prefetch_bytes(w.data + (r + P * lanes) * w.row_bytes + b * size, size);
    for (std::size_t p = 0; p < P; ++p) {
      with_rows<Format>(w, r + p * lanes, b,
                        [&](const std::uint8_t* q, std::size_t stride) { unpack<Format>(q, stride, panels[p]); });
    }
    multiply_all<Format, P>(panels, x + b * n, n, sums);
  }
  for (std::size_t p = 0; p < P; ++p) {
    const std::size_t left = w.rows - r - p * lanes;
    store_sums(sums + p * block_rows * lanes, n, left < lanes ? left : lanes, out, out.y + r + p * lanes);
  }
}

template <typename Format>
void product(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
  switch (n) {
    case 1: return product_directly<Format, 1>(w, x, out);
    case 2: return product_directly<Format, 2>(w, x, out);
    case 3: return product_directly<Format, 3>(w, x, out);
    case 4: return product_directly<Format, 4>(w, x, out);
    default: break;
  }
  for (std::size_t r = 0; r < w.rows; r += 2 * lanes) {
    if (w.rows - r > lanes) {
      product_panels<Format, 2>(w, r, x, n, out);
    } else {
      product_panels<Format, 1>(w, r, x, n, out);
    }
  }
}

// Q8_0: 16 rows × 32 columns at a time. Weights are moved by 128 to be unsigned, which adds 128 times the activations' sum.
void product_q8_0(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
  constexpr std::size_t block_bytes = 34;
  alignas(64) float sums[block_rows * lanes];
  for (std::size_t r = 0; r < w.rows; r += lanes) {
    const std::size_t rows = w.rows - r < lanes ? w.rows - r : lanes;
    for (std::size_t i = 0; i < n * lanes; i += lanes) _mm512_store_ps(sums + i, _mm512_setzero_ps());
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
      alignas(32) std::uint16_t halves[lanes];
      for (std::size_t i = 0; i < lanes; ++i) __builtin_memcpy(&halves[i], p + i * stride, 2);
      const __m512 d = _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(halves)));
      const Columns left = load_columns(p + 2, stride);
      const Columns right = load_columns(p + 18, stride);
      __m512i q[8];
      for (std::size_t i = 0; i < 4; ++i) {
        q[i] = _mm512_xor_si512(left.c[i], bytes(0x80));
        q[i + 4] = _mm512_xor_si512(right.c[i], bytes(0x80));
      }
      for (std::size_t a = 0; a < n; ++a) {
        const SmallRow& row = x[b * n + a];
        __m512i dot = _mm512_set1_epi32(-128 * row.sum);
        for (std::size_t k = 0; k < 8; ++k) dot = _mm512_dpbusd_epi32(dot, q[k], _mm512_set1_epi32(load32(row.q + k * 4)));
        const __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(row.d));
        const __m512 sum = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dot), _mm512_load_ps(sums + a * lanes));
        _mm512_store_ps(sums + a * lanes, sum);
      }
    }
    store_sums(sums, n, rows, out, out.y + r);
  }
}

}  // namespace

const Kernels& avx512_kernels() {
  static const Kernels kernels = {
      .name = "AVX-512 (VNNI)",
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
