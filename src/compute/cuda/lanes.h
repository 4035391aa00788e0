// What a lane of a warp holds: pairs of halves as 32 bits, and what the four lanes of a row of a product's result make
// of their parts together (PTX ISA, "Matrix Fragments").
#pragma once

#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>

namespace compute::cuda {

__device__ inline __half2 as_half2(std::uint32_t bits) {
  __half2 value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
__device__ inline std::uint32_t as_bits(__half2 value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

__device__ inline float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffU, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffU, x, 2));
}
__device__ inline float quad_sum(float x) {
  x += __shfl_xor_sync(0xffffffffU, x, 1);
  return x + __shfl_xor_sync(0xffffffffU, x, 2);
}

}  // namespace compute::cuda
