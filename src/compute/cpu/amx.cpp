// Kernels for AMX: products of int8 on tiles, for batches of blocks of 256, and attention of prompts; all else is
// AVX-512's.
#include "compute/cpu/amx_attention.h"
#include "compute/cpu/amx_exact_products.h"
#include "compute/cpu/amx_fast_products.h"
#include "compute/cpu/kernels.h"

namespace compute::cpu {
namespace {

void quantise_fast(const float* x, std::size_t cols, FastTile* out, std::size_t stride, std::size_t row) {
  SuperRow whole;
  for (std::size_t b = 0; b < cols / 256; ++b, out += stride) {
    avx512_kernels().quantise_super(x + b * 256, 256, &whole, 1);
    for (std::size_t i = 0; i < 4; ++i) __builtin_memcpy(out->q[i][row], whole.q + i * 64, 64);
    out->d[row] = whole.d;
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
