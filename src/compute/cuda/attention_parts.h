// What the attention kernels share: where a block lies in a page, halves in registers, and how a softmax runs.
#pragma once

#include <cuda_fp16.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "compute/compute.h"
#include "compute/cuda/lanes.h"
#include "compute/cuda/ptx.h"

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
__device__ inline std::uint32_t pack_halves(float low, float high) { return as_bits(__floats2half2_rn(low, high)); }
__device__ inline float2 unpack_halves(std::uint32_t bits) { return __half22float2(as_half2(bits)); }

// A pair turned by RoPE: to the bit what Device::rope gives.
__device__ inline float2 turn(float2 x, float2 cos_sin) {
  return {fmaf(x.x, cos_sin.x, -(x.y * cos_sin.y)), fmaf(x.y, cos_sin.x, x.x * cos_sin.y)};
}

// What is subtracted from scores whose maximum is `max`. Where all are −∞ that must not be −∞: exponentials are then 0,
// their sum is 0, and the output 0 / 0.
__device__ inline float finite_max(float max) { return max == -INFINITY ? 0.0F : max; }

// Begins to copy a page's keys, and the values behind them, into a stage that lies as L says.
template <typename L, unsigned head_size, unsigned threads>
__device__ void copy_page(const std::byte* keys, std::uint32_t stage) {
  constexpr unsigned key_chunks = head_size / 8;
  constexpr unsigned value_chunks = static_cast<unsigned>(page_positions) / 8;
  const std::byte* values = keys + L::block;
#pragma unroll
  for (unsigned i = 0; i < L::block / 16 / threads; ++i) {
    const unsigned chunk = threadIdx.x + i * threads;
    ptx::copy_async(stage + L::key_at(chunk / key_chunks, chunk % key_chunks), keys + chunk * 16);
  }
#pragma unroll
  for (unsigned i = 0; i < L::block / 16 / threads; ++i) {
    const unsigned chunk = threadIdx.x + i * threads;
    ptx::copy_async(stage + L::value_at(chunk / value_chunks, chunk % value_chunks), values + chunk * 16);
  }
}

}  // namespace compute::cuda
