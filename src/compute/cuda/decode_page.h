// A warp's attention over its 16 positions of a page, in generation.
#pragma once

#include <cmath>
#include <cstdint>

#include "compute/cuda/attention_parts.h"
#include "compute/cuda/decode_parameters.h"
#include "compute/cuda/lanes.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda::decode {

// Adds what rounding left. An infinite part has no rest: it would be infinity minus infinity.
__device__ inline float whole(float rounded, float rest) { return isinf(rounded) ? rounded : rounded + rest; }

// Of one warp: query lane / 4, and in `outputs` the fragments of products of halves and of rests.
template <unsigned head_size>
struct Softmax {
  float max = -INFINITY;
  float sum = 0;  // over this lane's positions
  float outputs[head_size / 8][4] = {};
};

// Adds the warp's 16 positions of a page, of which the first `visible` are seen.
template <unsigned head_size>
__device__ void attend_page(std::uint32_t stage, const std::uint32_t (&q)[head_size / 16][4], unsigned visible,
                            Softmax<head_size>& softmax) {
  using L = Layout<head_size>;
  const unsigned lane = threadIdx.x % 32;
  const unsigned first = threadIdx.x / 32 * 16;
  // Of a 16 x 16 part of keys or values, in the order of the second operands of two products.
  const unsigned matrix_row = lane / 16 * 8 + lane % 8;
  const unsigned matrix_chunk = lane / 8 % 2;

  float scores[2][2][4] = {};  // [even or odd step][positions 0-7 or 8-15]: two chains of products are faster than one
#pragma unroll
  for (unsigned step = 0; step < head_size / 16; ++step) {
    std::uint32_t keys[4];
    ptx::load_matrices(stage + L::key_at(first + matrix_row, 2 * step + matrix_chunk), keys);
    ptx::multiply(scores[step % 2][0], q[step], {keys[0], keys[1]});
    ptx::multiply(scores[step % 2][1], q[step], {keys[2], keys[3]});
  }
  float s[2][2];
  float max = softmax.max;
#pragma unroll
  for (unsigned tile = 0; tile < 2; ++tile) {
#pragma unroll
    for (unsigned i = 0; i < 2; ++i) {
      const float score =
          whole(scores[0][tile][i] + scores[1][tile][i], scores[0][tile][i + 2] + scores[1][tile][i + 2]);
      const unsigned position = first + 8 * tile + 2 * (lane % 4) + i;
      s[tile][i] = position < visible ? score : -INFINITY;
      max = fmaxf(max, s[tile][i]);
    }
  }
  max = quad_max(max);
  const float subtracted = finite_max(max);
  const float factor = exp2f(softmax.max - subtracted);
  softmax.max = max;

  std::uint32_t weights[4];
  float sum = 0;
#pragma unroll
  for (unsigned tile = 0; tile < 2; ++tile) {
    const float a = exp2f(s[tile][0] - subtracted);
    const float b = exp2f(s[tile][1] - subtracted);
    sum += a + b;
    const std::uint32_t rounded = pack_halves(a, b);
    const float2 seen = unpack_halves(rounded);
    weights[2 * tile] = rounded;
    weights[2 * tile + 1] = pack_halves(a - seen.x, b - seen.y);
  }
  softmax.sum = fmaf(softmax.sum, factor, sum);

  // What lies behind the row's position may be anything, and 0 times anything may be NaN.
  std::uint32_t seen[2];
#pragma unroll
  for (unsigned tile = 0; tile < 2; ++tile) {
    const unsigned position = first + 8 * tile + 2 * (lane % 4);
    seen[tile] = (position < visible ? 0x0000ffffU : 0U) | (position + 1 < visible ? 0xffff0000U : 0U);
  }
#pragma unroll
  for (unsigned i = 0; i < head_size / 16; ++i) {
    std::uint32_t values[4];
    ptx::load_matrices(stage + L::value_at(16 * i + matrix_row, first / 8 + matrix_chunk), values);
#pragma unroll
    for (unsigned tile = 0; tile < 2; ++tile) {
      float(&output)[4] = softmax.outputs[2 * i + tile];
#pragma unroll
      for (float& x : output) x *= factor;
      ptx::multiply(output, weights, {values[2 * tile] & seen[0], values[2 * tile + 1] & seen[1]});
    }
  }
}

}  // namespace compute::cuda::decode
