// Kernels for AVX-512 (F, BW, DQ, VL, VNNI): what vector_float.h and vector_products.h need of it. Four products of
// bytes and their sum are one instruction, vpdpbusd, for each of 16 lanes.
#include <immintrin.h>

#include "compute/cpu/avx512_integers.h"
#include "compute/cpu/avx512_rows.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/vector_float.h"
#include "compute/cpu/vector_products.h"
#include "compute/cpu/vector_sampling.h"

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

  // For sampling: lanes as bits of a number, integers in the lanes of floats, and their sums.
  static Reg keep_bits(Reg x, unsigned bits, Reg fill) {
    return _mm512_mask_blend_ps(static_cast<__mmask16>(bits), fill, x);
  }
  static unsigned at_least(Reg x, Reg least) { return _mm512_cmp_ps_mask(x, least, _CMP_GE_OQ); }
  using Ints = __m512i;
  static Ints round(Reg x) { return _mm512_cvtps_epi32(x); }
  static Reg to_floats(Ints x) { return _mm512_cvtepi32_ps(x); }
  using Sums = __m512i;
  static Sums no_sums() { return _mm512_setzero_si512(); }
  static Sums add(Sums sums, Ints x) {
    const __m512i even = _mm512_and_si512(x, _mm512_set1_epi64(0xffffffff));
    return _mm512_add_epi64(sums, _mm512_add_epi64(even, _mm512_srli_epi64(x, 32)));
  }
  static std::uint64_t total(Sums sums) { return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(sums)); }
  // The lanes that bits name, one after the other, and their numbers from `first` on. Returns how many they are.
  static std::size_t compress(Reg x, unsigned bits, std::uint32_t first, float* values, std::uint32_t* tokens) {
    const auto mask = static_cast<__mmask16>(bits);
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i numbers = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(first)));
    _mm512_storeu_ps(values, _mm512_maskz_compress_ps(mask, x));
    _mm512_storeu_si512(tokens, _mm512_maskz_compress_epi32(mask, numbers));
    return static_cast<std::size_t>(__builtin_popcount(bits));
  }
};

using Float = FloatKernels<V512>;
using Sampling = SamplingKernels<V512>;

void to_half(const float* x, std::size_t count, std::uint16_t* y) {
  for (std::size_t i = 0; i < count; i += 16) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i),
                        _mm512_cvtps_ph(_mm512_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
}

using Product = ProductKernels<Int512>;

}  // namespace

const Kernels& avx512_kernels() {
  static const Kernels kernels = {
      .name = "AVX-512 (VNNI)",
      .quantise_super = Product::quantise_super,
      .quantise_small = Product::quantise_small,
      .product_q2_k = Product::product<Product::Q2_K>,
      .product_q3_k = Product::product<Product::Q3_K>,
      .product_q4_k = Product::product<Product::Q4_K, Q4KRows512>,
      .product_q5_k = Product::product<Product::Q5_K, Q5KRows512>,
      .product_q6_k = Product::product<Product::Q6_K, Q6KRows512>,
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
