// A tile of packed weights (packed.h) times at most 8 rows of activations, by one warp.
//
// The bits of a weight are multiplied as they are. A number q below 1,024 in the low bits of a half is the subnormal
// q · 2^-24, which matrix instructions take exactly, so a mask makes two weights ready; q four bits further up, as that
// of row g + 8 lies, is q · 2^-20. Scales and minima come in afterwards, once for each group of columns and in float:
//   Σ w x = s Σ q x - m Σ x    with Σ x from the block's shared memory.
// So a weight is never rounded, and a tile of Q4 takes some 60 instructions of a warp for 1,024 weights.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "compute/cuda/few_plan.h"
#include "compute/cuda/lanes.h"
#include "compute/cuda/packed.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda::few {

// The B fragments of a tile's four steps, and for each of its groups of 32 columns the sum of the lane's two rows of
// activations, 2t and 2t + 1.
struct TileInput {
  std::uint32_t b[4][2];
  float sum[2][2];
};

// What has been summed up of a row of tiles. A lane has rows g and g + 8 of the weight for rows 2t and 2t + 1 of the
// activations, in the order of the D fragment: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1). If there is a
// `single` row of activations, the second and fourth are left alone.
struct Sums {
  float product[4] = {};
  float minimum[4] = {};
};

// sums += scale of row g (first) or g + 8 (second) * part.
template <bool single>
__device__ inline void add_scaled(float (&sums)[4], const float (&part)[4], float first, float second) {
  sums[0] += first * part[0];
  sums[2] += second * part[2];
  if constexpr (!single) {
    sums[1] += first * part[1];
    sums[3] += second * part[3];
  }
}

// The A fragment of a step: q · 2^-24 of row g, q · 2^-20 of row g + 8.
__device__ inline void q4_fragment(std::uint32_t word, std::uint32_t (&a)[4]) {
  const std::uint32_t high = word >> 8;
  a[0] = word & 0x000f000f;
  a[1] = word & 0x00f000f0;
  a[2] = high & 0x000f000f;
  a[3] = high & 0x00f000f0;
}
// What takes the products of row g (0) or g + 8 (1) to their size.
__device__ inline float q4_factor(int row) { return row == 0 ? 0x1p24F : 0x1p20F; }

// q - 32, made of 1,024 + q (or 1,024 + 16 q), exactly: cheaper than sums of 16 columns. `second`: of the two steps
// that share the word of high bits.
__device__ inline void q6_fragment(std::uint32_t word, std::uint32_t above, int second, std::uint32_t (&a)[4]) {
  const __half2 bias = as_half2(0x64206420);          // 1,024 + 32
  const __half2 sixteenth = as_half2(0x2c002c00);     // 1 / 16
  const __half2 shifted_bias = as_half2(0xd600d600);  // -64 - 32
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::uint32_t bits = half == 0 ? word : word >> 8;
    // Brings the two bits of row g to 4 and 5, which takes those of row g + 8 to 8 and 9.
    const int shift = 4 - 2 * half - 8 * second;
    const std::uint32_t top = shift > 0 ? above << (shift & 31) : above >> (-shift & 31);
    const std::uint32_t q0 = (top & 0x00300030) | ((bits & 0x000f000f) | 0x64006400);
    const std::uint32_t q1 = (top & 0x03000300) | ((bits & 0x00f000f0) | 0x64006400);
    a[2 * half] = as_bits(__hsub2(as_half2(q0), bias));
    a[2 * half + 1] = as_bits(__hfma2(as_half2(q1), sixteenth, shifted_bias));
  }
}

// A lane's part of a tile.
template <Format format>
struct FewTile;

template <>
struct FewTile<Format::Q4> {
  uint4 words;
  uint4 scales;  // (s, m) of row g: group 0, 1; of row g + 8: group 0, 1

  __device__ void load(const std::byte* tile, unsigned lane) {
    words = *reinterpret_cast<const uint4*>(tile + lane * 16);
    scales = *reinterpret_cast<const uint4*>(tile + 512 + lane / 4 * 16);
  }

  template <bool single>
  __device__ void multiply(const TileInput& x, Sums& sums) const {
    const std::uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int group = 0; group < 2; ++group) {
      float part[4] = {};
#pragma unroll
      for (int step = 2 * group; step < 2 * group + 2; ++step) {
        std::uint32_t a[4];
        q4_fragment(word[step], a);
        ptx::multiply(part, a, x.b[step]);
      }
      const __half2 first = as_half2(group == 0 ? scales.x : scales.y);
      const __half2 second = as_half2(group == 0 ? scales.z : scales.w);
      add_scaled<single>(sums.product, part, __low2float(first), __low2float(second));
      const float columns[4] = {x.sum[group][0], x.sum[group][1], x.sum[group][0], x.sum[group][1]};
      add_scaled<single>(sums.minimum, columns, __high2float(first), __high2float(second));
    }
  }

  // Value i of the product.
  __device__ static float total(const Sums& sums, int i) {
    return sums.product[i] * q4_factor(i / 2) - sums.minimum[i];
  }
};

template <>
struct FewTile<Format::Q6> {
  uint4 words;
  uint2 high;
  uint4 scales;  // s of row g: groups 0 and 1, 2 and 3; of row g + 8: the same

  __device__ void load(const std::byte* tile, unsigned lane) {
    words = *reinterpret_cast<const uint4*>(tile + lane * 16);
    high = *reinterpret_cast<const uint2*>(tile + 512 + lane * 8);
    scales = *reinterpret_cast<const uint4*>(tile + 768 + lane / 4 * 16);
  }

  template <bool single>
  __device__ void multiply(const TileInput& x, Sums& sums) const {
    const std::uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      std::uint32_t a[4];
      q6_fragment(word[step], step < 2 ? high.x : high.y, step % 2, a);
      float part[4] = {};
      ptx::multiply(part, a, x.b[step]);
      const __half2 first = as_half2(step < 2 ? scales.x : scales.y);
      const __half2 second = as_half2(step < 2 ? scales.z : scales.w);
      const bool low = step % 2 == 0;
      add_scaled<single>(sums.product, part, low ? __low2float(first) : __high2float(first),
                         low ? __low2float(second) : __high2float(second));
    }
  }

  __device__ static float total(const Sums& sums, int i) { return sums.product[i]; }
};

template <>
struct FewTile<Format::F16> {
  uint4 steps[4];

  __device__ void load(const std::byte* tile, unsigned lane) {
#pragma unroll
    for (int step = 0; step < 4; ++step) steps[step] = *reinterpret_cast<const uint4*>(tile + (step * 32 + lane) * 16);
  }

  template <bool single>
  __device__ void multiply(const TileInput& x, Sums& sums) const {
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const std::uint32_t a[4] = {steps[step].x, steps[step].y, steps[step].z, steps[step].w};
      ptx::multiply(sums.product, a, x.b[step]);
    }
  }

  __device__ static float total(const Sums& sums, int i) { return sums.product[i]; }
};

// Four tiles beside each other, 256 columns in eight groups of 32, times a single row of activations. Only one of the
// eight columns of B is needed for it, so every column has another group of the row: column n has group n's activations
// in every step, and of a step's product only the column of its own group is taken. That column is in lanes t = group /
// 2, so a lane keeps the sums of two groups, and scales them once for all four tiles instead of once a tile.
struct UnitInput {
  uint4 b;     // the B fragments of the two steps of group g
  float2 sum;  // of the activations of groups 2t and 2t + 1
};

// Of rows g and g + 8, over the lane's groups.
struct UnitSums {
  float product[2] = {};
  float minimum[2] = {};
};

template <Format format>
struct FewUnit;

template <>
struct FewUnit<Format::Q4> {
  __device__ static void multiply(const std::byte* unit, unsigned lane, const UnitInput& x, UnitSums& sums) {
    constexpr unsigned bytes = tile_bytes(Format::Q4);
    const unsigned t = lane % 4;
    const std::uint32_t b[2][2] = {{x.b.x, x.b.y}, {x.b.z, x.b.w}};
    float kept[2][2] = {};  // [group of 2t][row]
#pragma unroll
    for (unsigned tile = 0; tile < unit_tiles; ++tile) {
      const uint4 words = *reinterpret_cast<const uint4*>(unit + tile * bytes + lane * 16);
      const std::uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
      for (int group = 0; group < 2; ++group) {
        float part[4] = {};
#pragma unroll
        for (int step = 0; step < 2; ++step) {
          std::uint32_t a[4];
          q4_fragment(word[2 * group + step], a);
          ptx::multiply(part, a, b[step]);
        }
        kept[group][0] = t == tile ? part[group] : kept[group][0];
        kept[group][1] = t == tile ? part[2 + group] : kept[group][1];
      }
    }
    const uint4 scales = *reinterpret_cast<const uint4*>(unit + t * bytes + 512 + lane / 4 * 16);
    const std::uint32_t scale[2][2] = {{scales.x, scales.z}, {scales.y, scales.w}};  // [group][row] of (s, m)
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      sums.product[row] += __low2float(as_half2(scale[0][row])) * kept[0][row];
      sums.product[row] += __low2float(as_half2(scale[1][row])) * kept[1][row];
      sums.minimum[row] += __high2float(as_half2(scale[0][row])) * x.sum.x;
      sums.minimum[row] += __high2float(as_half2(scale[1][row])) * x.sum.y;
    }
  }

  __device__ static float total(const UnitSums& sums, int row) {
    return sums.product[row] * q4_factor(row) - sums.minimum[row];
  }
};

template <>
struct FewUnit<Format::Q6> {
  __device__ static void multiply(const std::byte* unit, unsigned lane, const UnitInput& x, UnitSums& sums) {
    constexpr unsigned bytes = tile_bytes(Format::Q6);
    const unsigned t = lane % 4;
    const std::uint32_t b[2][2] = {{x.b.x, x.b.y}, {x.b.z, x.b.w}};
    float kept[4][2] = {};  // [group of 16 columns of tile t][row]
#pragma unroll
    for (unsigned tile = 0; tile < unit_tiles; ++tile) {
      const uint4 words = *reinterpret_cast<const uint4*>(unit + tile * bytes + lane * 16);
      const uint2 high = *reinterpret_cast<const uint2*>(unit + tile * bytes + 512 + lane * 8);
      const std::uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        std::uint32_t a[4];
        q6_fragment(word[step], step < 2 ? high.x : high.y, step % 2, a);
        float part[4] = {};
        ptx::multiply(part, a, b[step % 2]);
        kept[step][0] = t == tile ? part[step / 2] : kept[step][0];
        kept[step][1] = t == tile ? part[2 + step / 2] : kept[step][1];
      }
    }
    const uint4 scales = *reinterpret_cast<const uint4*>(unit + t * bytes + 768 + lane / 4 * 16);
    const std::uint32_t scale[2][2] = {{scales.x, scales.z}, {scales.y, scales.w}};  // [two groups][row]
#pragma unroll
    for (int row = 0; row < 2; ++row) {
#pragma unroll
      for (int two = 0; two < 2; ++two) {
        const __half2 both = as_half2(scale[two][row]);
        sums.product[row] += __low2float(both) * kept[2 * two][row];
        sums.product[row] += __high2float(both) * kept[2 * two + 1][row];
      }
    }
  }

  __device__ static float total(const UnitSums& sums, int row) { return sums.product[row]; }
};

}  // namespace compute::cuda::few
