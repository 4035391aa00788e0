// How activations of a product of few rows come into a block's shared memory, and how they lie there: as B fragments,
// with the sums of their columns beside them.
#pragma once

#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>

#include "compute/cuda/few_plan.h"
#include "compute/cuda/few_tiles.h"
#include "compute/cuda/lanes.h"
#include "compute/cuda/packed.h"
#include "compute/cuda/products.h"

namespace compute::cuda::few {

inline constexpr unsigned height = tile_rows;  // 32-bit forms for the kernels
inline constexpr unsigned width = tile_cols;
inline constexpr unsigned vector_cols = 8;  // that a thread stages at once
inline constexpr unsigned tile_vectors = width / vector_cols;
inline constexpr unsigned norm_vectors = most_norm_cols / vector_cols / (norm_warps * 32);  // at most, to a thread

// How rows of x lie in shared memory, and where sums of warps meet.
template <bool single>
struct Staging {
  static constexpr unsigned sum_rows = single ? 1 : few_rows;

  std::uint32_t* fragments;  // [tile][2 halves of 32 columns][rows][4 t, exchanged by tile][2 steps][2 registers]
  float* sums;               // [tile][2 groups of 32 columns][sum_rows]
  float* partials;           // [2][streams][warps][rows][16]
  unsigned rows;

  __device__ Staging(std::byte* memory, unsigned tiles, unsigned rows_)
      : fragments(reinterpret_cast<std::uint32_t*>(memory)),
        sums(reinterpret_cast<float*>(memory + std::size_t{tiles} * 128 * rows_)),
        partials(sums + std::size_t{tiles} * 2 * sum_rows),
        rows(rows_) {}

  // Takes 8 columns of a row, vector `vector` of those staged. All lanes of a warp come here together; 4 neighbours
  // have 4 neighbouring vectors of the same row, or none of them is `valid`.
  __device__ void store(unsigned vector, unsigned row, const uint4& columns, bool valid) const {
    const std::uint32_t pairs[4] = {columns.x, columns.y, columns.z, columns.w};
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const __half2 pair = as_half2(pairs[i]);
      sum += __low2float(pair) + __high2float(pair);
    }
    sum += __shfl_xor_sync(~0U, sum, 1);
    sum += __shfl_xor_sync(~0U, sum, 2);
    if (!valid) return;
    const unsigned tile = vector / tile_vectors;
    const unsigned half = vector / 4;  // of all tiles
    std::uint32_t* at = fragments + (half * rows + row) * 16 + vector % 4;
#pragma unroll
    for (unsigned t = 0; t < 4; ++t) at[(t ^ tile % 4) * 4] = pairs[t];
    if (vector % 4 == 0) sums[half * sum_rows + row] = sum;
  }

  // Of a single row; `tile` is a multiple of 4.
  __device__ void load_unit(unsigned tile, unsigned lane, UnitInput& x) const {
    const unsigned g = lane / 4;
    const unsigned t = lane % 4;
    x.b = *reinterpret_cast<const uint4*>(fragments + (tile * 2 + g) * 16 + (t ^ g / 2) * 4);
    x.sum = *reinterpret_cast<const float2*>(sums + tile * 2 + 2 * t);
  }

  // Rows that do not exist repeat the last one: a column of B makes only its own column of D. tile_of_four: tile % 4.
  __device__ void load(unsigned tile, unsigned tile_of_four, unsigned lane, TileInput& x) const {
    const unsigned t = lane % 4;
    const unsigned row = single ? 0 : min(lane / 4, rows - 1);
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
      const std::uint32_t* at = fragments + ((tile * 2 + half) * rows + row) * 16 + (t ^ tile_of_four) * 4;
      const uint4 b = *reinterpret_cast<const uint4*>(at);
      x.b[2 * half][0] = b.x;
      x.b[2 * half][1] = b.y;
      x.b[2 * half + 1][0] = b.z;
      x.b[2 * half + 1][1] = b.w;
      const float* sum = sums + (tile * 2 + half) * sum_rows;
      if constexpr (single) {
        x.sum[half][0] = *sum;
        x.sum[half][1] = 0;
      } else {
        const float2 both = *reinterpret_cast<const float2*>(sum + 2 * t);
        x.sum[half][0] = both.x;
        x.sum[half][1] = both.y;
      }
    }
  }
};

// Rows of halves.
struct HalfSource {
  const __half* x;
  unsigned stride;
  unsigned rows;

  struct Constants {};
  __device__ void prepare(Constants&) const {}

  template <bool single>
  __device__ void stage(const Staging<single>& to, const Constants&, unsigned first_tile, unsigned tiles) const {
    constexpr unsigned batch = 4;
    const unsigned vectors = tiles * tile_vectors;
    const unsigned total = vectors * rows;
    for (unsigned base = 0; base < total; base += batch * blockDim.x) {
      uint4 columns[batch];
#pragma unroll
      for (unsigned i = 0; i < batch; ++i) {
        const unsigned index = base + i * blockDim.x + threadIdx.x;
        const unsigned row = single ? 0 : index / vectors;
        columns[i] = uint4{};
        if (index < total) {
          columns[i] = *reinterpret_cast<const uint4*>(x + std::size_t{row} * stride + first_tile * width +
                                                       (index - row * vectors) * vector_cols);
        }
      }
#pragma unroll
      for (unsigned i = 0; i < batch; ++i) {
        if (base + i * blockDim.x >= total) break;
        const unsigned index = base + i * blockDim.x + threadIdx.x;
        const unsigned row = single ? 0 : index / vectors;
        to.store(index - row * vectors, row, columns[i], index < total);
      }
    }
  }
};

// Rows of floats, normalised on the way.
struct NormSource {
  const float* x;
  const float* gain;
  unsigned stride;
  unsigned rows;
  unsigned cols;
  float epsilon;

  // Columns beyond the last are zero.
  __device__ void load(unsigned row, unsigned vector, float (&v)[vector_cols]) const {
    const float* from = x + std::size_t{row} * stride;
    const unsigned col = vector * vector_cols;
    float4 a{};
    float4 b{};
    if (col < cols) a = *reinterpret_cast<const float4*>(from + col);
    if (col + 4 < cols) b = *reinterpret_cast<const float4*>(from + col + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
  }

  // The gains of the columns that a thread stages.
  struct Constants {
    float gain[norm_vectors][vector_cols];
  };
  __device__ void prepare(Constants& constants) const {
#pragma unroll
    for (unsigned i = 0; i < norm_vectors; ++i) {
      const unsigned col = (i * blockDim.x + threadIdx.x) * vector_cols;
      float4 a{};
      float4 b{};
      if (col < cols) a = *reinterpret_cast<const float4*>(gain + col);
      if (col + 4 < cols) b = *reinterpret_cast<const float4*>(gain + col + 4);
      float(&v)[vector_cols] = constants.gain[i];
      v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
      v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    }
  }

  // A row's sum of squares is made in the same order however many rows there are.
  template <bool single>
  __device__ void stage(const Staging<single>& to, const Constants& constants, unsigned, unsigned tiles) const {
    const unsigned vectors = tiles * tile_vectors;
    float v[norm_vectors][vector_cols];
#pragma unroll 2
    for (unsigned row = 0; row < (single ? 1 : rows); ++row) {
      float squares = 0;
#pragma unroll
      for (unsigned i = 0; i < norm_vectors; ++i) load(row, i * blockDim.x + threadIdx.x, v[i]);
#pragma unroll
      for (unsigned i = 0; i < norm_vectors; ++i) {
#pragma unroll
        for (unsigned col = 0; col < vector_cols; ++col) squares += v[i][col] * v[i][col];
      }
#pragma unroll
      for (int bits = 16; bits > 0; bits /= 2) squares += __shfl_xor_sync(~0U, squares, bits);
      if (threadIdx.x % 32 == 0) to.partials[row * norm_warps + threadIdx.x / 32] = squares;
    }
    __syncthreads();
#pragma unroll 1
    for (unsigned row = 0; row < (single ? 1 : rows); ++row) {
      float sum = 0;
#pragma unroll
      for (unsigned warp = 0; warp < norm_warps; ++warp) sum += to.partials[row * norm_warps + warp];
      const float scale = 1.0F / sqrtf(sum / static_cast<float>(cols) + epsilon);
#pragma unroll
      for (unsigned i = 0; i < norm_vectors; ++i) {
        if (i * blockDim.x >= vectors) break;
        const unsigned vector = i * blockDim.x + threadIdx.x;
        if constexpr (!single) load(row, vector, v[i]);
        const auto pair = [&](unsigned col) {
          const float(&g)[vector_cols] = constants.gain[i];
          return as_bits(__floats2half2_rn(v[i][col] * scale * g[col], v[i][col + 1] * scale * g[col + 1]));
        };
        to.store(vector, row, uint4{pair(0), pair(2), pair(4), pair(6)}, vector < vectors);
      }
    }
  }
};

}  // namespace compute::cuda::few
