// Kernels for AVX2 with FMA and F16C: what vector_float.h and vector_products.h need of it.
#include <immintrin.h>

#include "compute/cpu/avx2_rows.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/vector_float.h"
#include "compute/cpu/vector_products.h"
#include "compute/cpu/vector_sampling.h"

namespace compute::cpu {
namespace {

// For every byte, the numbers of its bits that are set.
struct LaneTable {
  std::uint8_t bytes[256][8];
};
constexpr LaneTable lanes_of = [] {
  LaneTable table{};
  for (unsigned bits = 0; bits < 256; ++bits) {
    unsigned count = 0;
    for (std::uint8_t lane = 0; lane < 8; ++lane) {
      if ((bits >> lane & 1) != 0) table.bytes[bits][count++] = lane;
    }
  }
  return table;
}();

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

  // For sampling: lanes as bits of a number, integers in the lanes of floats, and their sums.
  static __m256 keep_bits(__m256 x, unsigned bits, __m256 fill) {
    const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i chosen = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lanes);
    return _mm256_blendv_ps(fill, x, _mm256_castsi256_ps(_mm256_cmpeq_epi32(chosen, lanes)));
  }
  static Reg keep_bits(Reg x, unsigned bits, Reg fill) {
    return {keep_bits(x.low, bits, fill.low), keep_bits(x.high, bits >> 8, fill.high)};
  }
  static unsigned at_least(__m256 x, __m256 least) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, least, _CMP_GE_OQ)));
  }
  static unsigned at_least(Reg x, Reg least) { return at_least(x.low, least.low) | at_least(x.high, least.high) << 8; }
  struct Ints {
    __m256i low;
    __m256i high;
  };
  static Ints round(Reg x) { return {_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)}; }
  static Reg to_floats(Ints x) { return {_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)}; }
  using Sums = __m256i;
  static Sums no_sums() { return _mm256_setzero_si256(); }
  static Sums add(Sums sums, __m256i x) {
    const __m256i even = _mm256_and_si256(x, _mm256_set1_epi64x(0xffffffff));
    return _mm256_add_epi64(sums, _mm256_add_epi64(even, _mm256_srli_epi64(x, 32)));
  }
  static Sums add(Sums sums, Ints x) { return add(add(sums, x.low), x.high); }
  static std::uint64_t total(Sums sums) {
    const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_add_epi64(two, _mm_unpackhi_epi64(two, two))));
  }
  // The lanes that bits name, one after the other, and their numbers from `first` on. Returns how many they are.
  static std::size_t compress(__m256 x, unsigned bits, std::uint32_t first, float* values, std::uint32_t* tokens) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(lanes_of.bytes[bits]));
    const __m256i order = _mm256_cvtepu8_epi32(bytes);
    _mm256_storeu_ps(values, _mm256_permutevar8x32_ps(x, order));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(tokens),
                        _mm256_add_epi32(order, _mm256_set1_epi32(static_cast<int>(first))));
    return static_cast<std::size_t>(__builtin_popcount(bits));
  }
  static std::size_t compress(Reg x, unsigned bits, std::uint32_t first, float* values, std::uint32_t* tokens) {
    const std::size_t count = compress(x.low, bits & 255, first, values, tokens);
    return count + compress(x.high, bits >> 8, first + 8, values + count, tokens + count);
  }
};

using Float = FloatKernels<V256>;
using Sampling = SamplingKernels<V256>;

void to_half(const float* x, std::size_t count, std::uint16_t* y) {
  for (std::size_t i = 0; i < count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
}

// The integers of a panel: 8 weight rows.
struct Int256 {
  using Int = __m256i;
  using Float = __m256;
  static constexpr std::size_t lanes = 8;
  // Whether the dot products of a group are summed in 32 bits.
  static constexpr bool has_wide_sums = false;
  static constexpr std::size_t panels = 1;  // multiplied together with each activation
  struct Columns {
    Int c[4];
  };

  static Int ints(int x) { return _mm256_set1_epi32(x); }
  static Int bytes(int x) { return _mm256_set1_epi8(static_cast<char>(x)); }
  static Int load_ints(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static Int both(Int a, Int b) { return _mm256_and_si256(a, b); }
  static Int either(Int a, Int b) { return _mm256_or_si256(a, b); }
  static Int sub(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  static Int left(Int x, unsigned n) { return _mm256_slli_epi32(x, static_cast<int>(n)); }
  static Int right(Int x, unsigned n) { return _mm256_srli_epi32(x, static_cast<int>(n)); }
  static Int signed_right(Int x, unsigned n) { return _mm256_srai_epi32(x, static_cast<int>(n)); }
  static Float floats(float x) { return _mm256_set1_ps(x); }
  static Float to_floats(Int x) { return _mm256_cvtepi32_ps(x); }
  static Float low_halves(Int x) {
    const Int low = both(x, ints(0xffff));
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0xd8)));
  }
  static Float load(const float* p) { return _mm256_load_ps(p); }
  static void store(float* p, Float x) { _mm256_store_ps(p, x); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float fnma(Float a, Float b, Float c) { return _mm256_fnmadd_ps(a, b, c); }

  // Unsigned weights times signed activations: vpmaddubsw sums two products into 16 bits, as many steps as fit, and
  // vpmaddwd with the scale in both halves brings them to 32.
  static constexpr std::size_t most_steps(int largest_weight) {
    return static_cast<std::size_t>(32767 / (2 * largest_weight * 127));
  }
  static Int multiply(Int w, Int x) { return _mm256_maddubs_epi16(w, x); }
  static Int multiply_add(Int sum, Int w, Int x) { return _mm256_add_epi16(sum, _mm256_maddubs_epi16(w, x)); }
  static Int scale(Int x) { return pair(x, x); }
  static Int add_scaled(Int total, Int sum, Int scale) {
    return _mm256_add_epi32(total, _mm256_madd_epi16(sum, scale));
  }
  static Int pair(Int low, Int high) { return _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa); }
  static Int add_pairs(Int total, Int pairs, Int sums) {
    return _mm256_add_epi32(total, _mm256_madd_epi16(pairs, sums));
  }

  // As add_scaled with a scale of 1.
  static Int add_sum(Int total, Int sum) { return add_scaled(total, sum, _mm256_set1_epi16(1)); }

  // With signed weights, |w| times x with w's sign: at most 2 · 128 · 127 in 16 bits.
  static constexpr int signed_offset = 0;
  static Int prepare_signed(Int w) { return w; }
  static Int multiply_signed(Int w, Int x) { return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)); }
  static Int multiply_add_signed(Int sum, Int w, Int x) { return _mm256_add_epi16(sum, multiply_signed(w, x)); }

  // Tables of 16 bytes, and the values at the indices (0 to 15) in each byte.
  static Int repeat16(const void* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static Int look_up(Int table, Int indices) { return _mm256_shuffle_epi8(table, indices); }

  // 0x10 in byte j of each lane of which bit 4k + j is set.
  static Int fifth_bits(Int x, unsigned k) {
    const Int first = _mm256_set_epi64x(0x0c0c0c0c08080808, 0x0404040400000000, 0x0c0c0c0c08080808, 0x0404040400000000);
    const Int repeated = _mm256_shuffle_epi8(x, either(first, bytes(static_cast<int>(k / 2))));
    const Int bit = ints(k % 2 == 0 ? 0x08040201 : static_cast<int>(0x80402010));
    return both(_mm256_cmpeq_epi8(both(repeated, bit), bit), bytes(0x10));
  }

  // 16 bytes of rows i and i+4.
  [[gnu::always_inline]] static Int load_rows(const std::uint8_t* p, std::size_t stride) {
    return _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(p + 4 * stride), reinterpret_cast<const __m128i*>(p));
  }

  // 16 bytes at p of each of 8 rows.
  [[gnu::always_inline]] static Columns load_columns(const std::uint8_t* p, std::size_t stride) {
    const Int z0 = load_rows(p, stride);
    const Int z1 = load_rows(p + stride, stride);
    const Int z2 = load_rows(p + 2 * stride, stride);
    const Int z3 = load_rows(p + 3 * stride, stride);
    const Int low01 = _mm256_unpacklo_epi32(z0, z1);
    const Int high01 = _mm256_unpackhi_epi32(z0, z1);
    const Int low23 = _mm256_unpacklo_epi32(z2, z3);
    const Int high23 = _mm256_unpackhi_epi32(z2, z3);
    return {{_mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
             _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)}};
  }

  // The largest magnitude of floats, as bits.
  static std::uint32_t largest_magnitude(const float* x, std::size_t count) {
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
  static int quantise16(const float* x, float inverse, std::int8_t* q) {
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

  // The same of 256 values; the sums of each 16 of them.
  static void quantise256(const float* x, float inverse, std::int8_t* q, std::int16_t* sums) {
    for (std::size_t g = 0; g < 16; ++g) {
      sums[g] = static_cast<std::int16_t>(quantise16(x + g * 16, inverse, q + g * 16));
    }
  }
};

using Product = ProductKernels<Int256>;

}  // namespace

const Kernels& avx2_kernels() {
  static const Kernels kernels = {
      .name = "AVX2",
      .quantise_super = Product::quantise_super,
      .quantise_small = Product::quantise_small,
      .product_q2_k = Product::product<Product::Q2_K>,
      .product_q3_k = Product::product<Product::Q3_K>,
      .product_q4_k = Product::product<Product::Q4_K, Q4KRows256>,
      .product_q5_k = Product::product<Product::Q5_K, Q5KRows256>,
      .product_q6_k = Product::product<Product::Q6_K, Q6KRows256>,
      .product_iq4_xs = Product::product<Product::IQ4_XS>,
      .product_q8_0 = Product::product_small<Product::Q8_0>,
      .product_q4_0 = Product::product_small<Product::Q4_0>,
      .product_q4_1 = Product::product_small<Product::Q4_1>,
      .product_q5_0 = Product::product_small<Product::Q5_0>,
      .product_q5_1 = Product::product_small<Product::Q5_1>,
      .product_iq4_nl = Product::product_small<Product::IQ4_NL>,
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
      .greatest = Sampling::greatest,
      .weigh = Sampling::weigh,
      .collect = Sampling::collect,
  };
  return kernels;
}

}  // namespace compute::cpu
