// What the scalar kernels' files share.
#pragma once

#include <array>

#include "compute/cpu/kernels.h"

namespace compute::cpu::scalar {

// 16 lanes to one: the upper half is added to the lower, four times.
inline float sum_tree(std::array<float, 16> lanes) {
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

SuperProduct product_q2_k;
SuperProduct product_q3_k;
SuperProduct product_q4_k;
SuperProduct product_q5_k;
SuperProduct product_q6_k;
SuperProduct product_iq4_xs;
SmallProduct product_q8_0;
SmallProduct product_q4_0;
SmallProduct product_q4_1;
SmallProduct product_q5_0;
SmallProduct product_q5_1;
SmallProduct product_iq4_nl;
FloatProduct product_f32;
FloatProduct product_f16;
FloatProduct product_bf16;

}  // namespace compute::cpu::scalar
