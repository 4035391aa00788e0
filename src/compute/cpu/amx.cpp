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
    k.quantise_fast = quantise_fast;
    k.fast_product = fast_product;
    k.product_q2_k = product_exact<Formats::Q2_K, &Kernels::product_q2_k>;
    k.product_q3_k = product_exact<Formats::Q3_K, &Kernels::product_q3_k>;
    k.product_q4_k = product_exact<Formats::Q4_K, &Kernels::product_q4_k>;
    k.product_q5_k = product_exact<Formats::Q5_K, &Kernels::product_q5_k>;
    k.product_q6_k = product_exact<Formats::Q6_K, &Kernels::product_q6_k>;
    k.product_iq4_xs = product_exact<Formats::IQ4_XS, &Kernels::product_iq4_xs>;
    return k;
  }();
  return kernels;
}

}  // namespace compute::cpu
