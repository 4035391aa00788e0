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

void product_q4_k(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out);
void product_q5_k(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out);
void product_q6_k(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out);
void product_q8_0(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out);
void product_f32(const WeightRows& w, const float* x, std::size_t n, const Output& out);
void product_f16(const WeightRows& w, const float* x, std::size_t n, const Output& out);
void product_bf16(const WeightRows& w, const float* x, std::size_t n, const Output& out);

}  // namespace compute::cpu::scalar
