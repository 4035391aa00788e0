// What a lane holds of a tile of packed weights (packed.h), and how it becomes the A fragments of matrix instructions:
// for each step of 16 columns four pairs of halves.
//
// A number q below 1,024 in the low bits of 0x6400 is the binary16 number 1,024 + q, so that a mask and an "or", one
// instruction for two weights, make numbers of bits. Taking 1,024 off is exact; s q - m (Q4) and s (q - 32) (Q6) are
// then rounded once. In nibbles 1 and 3 q lies four bits further up and stands for 1,024 + 16 q, from which a
// multiply-add makes q at the cost of that subtraction; no shift is needed. For 8 weights: Q4 13 instructions, Q6 19.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "compute/cuda/lanes.h"
#include "compute/cuda/packed.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {

namespace detail {

// (bits & mask) | more in one instruction. Written out because with two constants the compiler makes two of it.
__device__ inline std::uint32_t masked_or(std::uint32_t bits, std::uint32_t mask, std::uint32_t more) {
#ifdef __CUDA_ARCH__
  std::uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(bits), "r"(mask), "r"(more));
  return result;
#else
  return (bits & mask) | more;
#endif
}
__device__ inline __half2 low_twice(std::uint32_t halves) { return __low2half2(as_half2(halves)); }
__device__ inline __half2 high_twice(std::uint32_t halves) { return __high2half2(as_half2(halves)); }

}  // namespace detail

// A lane's part of a tile. load(tile, lane) takes it from shared memory; fragment(step, a) gives step
// 0 to 3 (a constant once loops are unrolled) as a[pair].
template <Format format>
struct TileFragments;

template <>
struct TileFragments<Format::Q4> {
  static constexpr unsigned bytes = tile_bytes(Format::Q4);

  uint4 words;   // [step]
  uint4 scales;  // (s, m) of row g: group 0, 1; of row g + 8: group 0, 1

  __device__ void load(const std::byte* tile, unsigned lane) {
    words = *reinterpret_cast<const uint4*>(tile + lane * 16);
    scales = *reinterpret_cast<const uint4*>(tile + 512 + lane / 4 * 16);
  }

  __device__ void fragment(int step, std::uint32_t (&a)[4]) const {
    using namespace detail;
    const std::uint32_t word = step == 0 ? words.x : step == 1 ? words.y : step == 2 ? words.z : words.w;
    const std::uint32_t first = step < 2 ? scales.x : scales.y;
    const std::uint32_t second = step < 2 ? scales.z : scales.w;
    const __half2 bias = as_half2(0x64006400);          // 1,024
    const __half2 sixteenth = as_half2(0x2c002c00);     // 1/16
    const __half2 shifted_bias = as_half2(0xd400d400);  // -64
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t bits = half == 0 ? word : word >> 8;
      const __half2 q0 = __hsub2(as_half2(masked_or(bits, 0x000f000f, 0x64006400)), bias);
      const __half2 q1 = __hfma2(as_half2(masked_or(bits, 0x00f000f0, 0x64006400)), sixteenth, shifted_bias);
      a[2 * half] = as_bits(__hfma2(q0, low_twice(first), __hneg2(high_twice(first))));
      a[2 * half + 1] = as_bits(__hfma2(q1, low_twice(second), __hneg2(high_twice(second))));
    }
  }
};

template <>
struct TileFragments<Format::Q6> {
  static constexpr unsigned bytes = tile_bytes(Format::Q6);

  uint4 words;   // [step], the low 4 bits
  uint2 high;    // [step / 2]
  uint4 scales;  // halves: row g, groups 0 to 3; row g + 8, groups 0 to 3

  __device__ void load(const std::byte* tile, unsigned lane) {
    words = *reinterpret_cast<const uint4*>(tile + lane * 16);
    high = *reinterpret_cast<const uint2*>(tile + 512 + lane * 8);
    scales = *reinterpret_cast<const uint4*>(tile + 768 + lane / 4 * 16);
  }

  __device__ void fragment(int step, std::uint32_t (&a)[4]) const {
    using namespace detail;
    const std::uint32_t word = step == 0 ? words.x : step == 1 ? words.y : step == 2 ? words.z : words.w;
    const std::uint32_t above = step < 2 ? high.x : high.y;
    const std::uint32_t first = step < 2 ? scales.x : scales.y;
    const std::uint32_t second = step < 2 ? scales.z : scales.w;
    const __half2 scale0 = step % 2 == 0 ? low_twice(first) : high_twice(first);
    const __half2 scale1 = step % 2 == 0 ? low_twice(second) : high_twice(second);
    const __half2 bias = as_half2(0x64206420);          // 1,024 + 32
    const __half2 sixteenth = as_half2(0x2c002c00);     // 1/16
    const __half2 shifted_bias = as_half2(0xd600d600);  // -64 - 32
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t bits = half == 0 ? word : word >> 8;
      // Brings the bits of the first of these two pairs to 4 and 5, which takes the other's to 8 and 9.
      const int shift = 4 - 2 * half - 8 * (step % 2);
      const std::uint32_t top = shift > 0 ? above << (shift & 31) : above >> (-shift & 31);
      const std::uint32_t q0 = masked_or(top, 0x00300030, masked_or(bits, 0x000f000f, 0x64006400));
      const std::uint32_t q1 = masked_or(top, 0x03000300, masked_or(bits, 0x00f000f0, 0x64006400));
      a[2 * half] = as_bits(__hmul2(__hsub2(as_half2(q0), bias), scale0));
      a[2 * half + 1] = as_bits(__hmul2(__hfma2(as_half2(q1), sixteenth, shifted_bias), scale1));
    }
  }
};

template <>
struct TileFragments<Format::F16> {
  static constexpr unsigned bytes = tile_bytes(Format::F16);

  uint4 steps[4];

  __device__ void load(const std::byte* tile, unsigned lane) {
#pragma unroll
    for (int step = 0; step < 4; ++step) steps[step] = *reinterpret_cast<const uint4*>(tile + (step * 32 + lane) * 16);
  }

  __device__ void fragment(int step, std::uint32_t (&a)[4]) const {
    a[0] = steps[step].x;
    a[1] = steps[step].y;
    a[2] = steps[step].z;
    a[3] = steps[step].w;
  }
};

}  // namespace compute::cuda
