// Kernels for AMX: products of int8 on tiles, for batches of blocks of 256, and attention of prompts; all else is
// AVX-512's.
#include "compute/cpu/amx_attention.h"
#include "compute/cpu/amx_exact_products.h"
#include "compute/cpu/amx_fast_products.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/vector_products.h"

namespace compute::cpu {
namespace {

void quantise_fast(const float* x, std::size_t cols, FastTile* out, std::size_t stride, std::size_t row) {
  for (std::size_t first = 0; first < cols; first += fast_columns, out += stride) {
    const std::size_t count = cols - first < fast_columns ? cols - first : fast_columns;
    float inverse;
    out->d[row] = quantising_scale(I::largest_magnitude(x + first, count), inverse);
    for (std::size_t i = 0; i < fast_columns; i += 256) {
      alignas(64) std::int8_t q[256] = {};
      std::int16_t sums[16];
      if (i < count) I::quantise256(x + first + i, inverse, q, sums);
      for (std::size_t t = 0; t < 4; ++t) __builtin_memcpy(out->q[i / 64 + t][row], q + t * 64, 64);
    }
  }
}

void quantise_exact(const float* x, std::size_t cols, ExactTile* out, std::size_t stride, std::size_t row) {
  for (std::size_t first = 0; first < cols; first += 256, x += 256, out += stride) {
    float inverse;
    out->d[row] = quantising_scale(I::largest_magnitude(x, 256), inverse);
    alignas(64) std::int8_t q[256];
    alignas(32) std::int16_t sums[16];
    I::quantise256(x, inverse, q, sums);
    for (std::size_t t = 0; t < 4; ++t) __builtin_memcpy(out->q[t][row], q + t * 64, 64);
    const Int sum = _mm512_cvtepi16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(sums)));
    const auto bits = [](Int part) { return _mm512_castps_si512(I::to_floats(part)); };
    const Int high = bits(I::both(sum, I::ints(~15)));
    const Int low = bits(I::both(sum, I::ints(15)));
    _mm512_store_si512(out->sums[row], I::either(I::right(high, 16), low));
  }
}

ExactProduct* exact_product(quant::Type type) {
  switch (type) {
    case quant::Type::Q2_K:
      return product_exact<Formats::Q2_K>;
    case quant::Type::Q3_K:
      return product_exact<Formats::Q3_K>;
    case quant::Type::Q4_K:
      return product_exact<Formats::Q4_K>;
    case quant::Type::Q5_K:
      return product_exact<Formats::Q5_K>;
    case quant::Type::Q6_K:
      return product_exact<Formats::Q6_K>;
    case quant::Type::IQ4_XS:
      return product_exact<Formats::IQ4_XS>;
    default:
      return nullptr;
  }
}

FastProduct* fast_product(quant::Type type) {
  switch (type) {
    case quant::Type::Q2_K:
      return product_fast<Formats::Q2_K>;
    case quant::Type::Q3_K:
      return product_fast<Formats::Q3_K>;
    case quant::Type::Q4_K:
      return product_fast<Formats::Q4_K>;
    case quant::Type::Q5_K:
      return product_fast<Formats::Q5_K>;
    case quant::Type::Q6_K:
      return product_fast<Formats::Q6_K>;
    case quant::Type::IQ4_XS:
      return product_fast<Formats::IQ4_XS>;
    default:
      return nullptr;
  }
}

}  // namespace

const Kernels& amx_kernels() {
  static const Kernels kernels = [] {
    Kernels k = avx512_kernels();
    k.name = "AMX (int8)";
    k.attend_prompt = amx_attend_prompt;
    k.prompt_scratch = amx_prompt_scratch;
    k.quantise_exact = quantise_exact;
    k.exact_product = exact_product;
    k.quantise_fast = quantise_fast;
    k.fast_product = fast_product;
    return k;
  }();
  return kernels;
}

}  // namespace compute::cpu
