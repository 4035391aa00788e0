// What the attention kernels share: where a block lies in a page, halves in registers, and how a softmax runs.
#pragma once

#include <cuda_fp16.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "compute/compute.h"

namespace compute::cuda {

// Where the blocks of one layer lie in a page, in bytes: KvShape's offsets in a form that kernels can use.
struct LayerBlocks {
  std::size_t offset = 0;
  std::size_t block_bytes = 0;

  LayerBlocks(const KvShape& shape, std::size_t layer)
      : offset(shape.key_offset(layer, 0)), block_bytes(shape.block_bytes()) {}

  __device__ std::size_t keys_offset(unsigned head) const { return offset + head * 2 * block_bytes; }
  __device__ const std::byte* keys(const std::byte* page, unsigned head) const { return page + keys_offset(head); }
  __device__ const std::byte* values(const std::byte* page, unsigned head) const {
    return keys(page, head) + block_bytes;
  }
};

// 1/√head_size, for scores in base e; times log2(e) for scores in base 2.
inline float score_scale(std::size_t head_size) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_size)));
}
inline float score_scale_base2(std::size_t head_size) {
  return static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(head_size)));
}

// Two floats rounded to halves, the first in the low 16 bits.
__device__ inline std::uint32_t pack_halves(float low, float high) {
  const __half2 halves = __floats2half2_rn(low, high);
  std::uint32_t bits;
  std::memcpy(&bits, &halves, sizeof bits);
  return bits;
}
__device__ inline float2 unpack_halves(std::uint32_t bits) {
  __half2 halves;
  std::memcpy(&halves, &bits, sizeof bits);
  return __half22float2(halves);
}

// A pair turned by RoPE: to the bit what Device::rope gives.
__device__ inline float2 turn(float2 x, float2 cos_sin) {
  return {fmaf(x.x, cos_sin.x, -(x.y * cos_sin.y)), fmaf(x.y, cos_sin.x, x.x * cos_sin.y)};
}

// What is subtracted from scores whose maximum is `max`. Where all are −∞ that must not be −∞: exponentials are then 0,
// their sum is 0, and the output 0 / 0.
__device__ inline float finite_max(float max) { return max == -INFINITY ? 0.0F : max; }

// Over the four lanes that hold a row of a product's result (PTX ISA, "Matrix Fragments").
__device__ inline float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffU, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffU, x, 2));
}
__device__ inline float quad_sum(float x) {
  x += __shfl_xor_sync(0xffffffffU, x, 1);
  return x + __shfl_xor_sync(0xffffffffU, x, 2);
}

}  // namespace compute::cuda
