// What becomes of a block's sums in a product of many rows: they are added to those of blocks with other columns, and
// stored as floats or, for SwiGLU, as hidden activations.
#pragma once

#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>

#include "compute/cuda/many_parameters.h"
#include "compute/cuda/many_tiles.h"
#include "compute/cuda/products.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda::many {

// Adds up the sums of all blocks that have a part of this tile's columns. False in all of them but one, the last.
template <typename S>
__device__ inline bool reduce_splits(const ManyParameters& p, const Part& part, float (&sums)[S::strips][S::sums]) {
  constexpr unsigned quads = S::sums / 4;
  const auto place = [&](unsigned split) {
    return reinterpret_cast<float4*>(p.partial) +
           (std::size_t{part.tile} * p.splits + split) * S::strips * quads * threads + threadIdx.x;
  };
  const unsigned valid = p.x_rows - part.first_activation;
  float4* mine = place(part.split);
#pragma unroll
  for (unsigned m = 0; m < S::strips; ++m) {
#pragma unroll
    for (unsigned j = 0; j < quads; ++j) {
      if (8 * j >= valid) continue;
      mine[(m * quads + j) * threads] =
          make_float4(sums[m][4 * j], sums[m][4 * j + 1], sums[m][4 * j + 2], sums[m][4 * j + 3]);
      for (unsigned i = 0; i < 4; ++i) sums[m][4 * j + i] = 0;
    }
  }
  __threadfence();
  __syncthreads();
  auto* last = reinterpret_cast<unsigned*>(ptx::dynamic_shared());
  // Goes back to zero with the last arrival.
  if (threadIdx.x == 0) *last = atomicInc(p.arrived + part.tile, p.splits - 1) == p.splits - 1 ? 1 : 0;
  __syncthreads();
  if (*last == 0) return false;
  __threadfence();
  [[maybe_unused]] constexpr unsigned at_once = S::strips * S::sums <= 32 ? 2 : 1;  // as registers allow
#pragma unroll at_once
  for (unsigned split = 0; split < p.splits; ++split) {
    const float4* from = place(split);
#pragma unroll
    for (unsigned m = 0; m < S::strips; ++m) {
#pragma unroll
      for (unsigned j = 0; j < quads; ++j) {
        if (8 * j >= valid) continue;
        const float4 v = __ldcg(from + (m * quads + j) * threads);
        sums[m][4 * j] += v.x;
        sums[m][4 * j + 1] += v.y;
        sums[m][4 * j + 2] += v.z;
        sums[m][4 * j + 3] += v.w;
      }
    }
  }
  __syncthreads();  // `last` has been read.
  return true;
}

// Calls store(activation row, weight row of the strip, sum's index) for each of a thread's sums of a strip.
template <unsigned count, typename Store>
__device__ inline void each_sum(Store store) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned row = threadIdx.x / 32 % 4 * 16 + lane / 4;
#pragma unroll
  for (unsigned i = 0; i < count; ++i) store(i / 4 * 8 + lane % 4 * 2 + i % 2, row + i / 2 % 2 * 8, i);
}

// A strip goes through shared memory, [activation row][weight row], so that neighbouring threads store neighbours. The
// rows' distances there leave no two threads of a warp with the same bank.
template <typename S>
__device__ inline void store_floats(const ManyParameters& p, const Part& part,
                                    const float (&sums)[S::strips][S::sums]) {
  constexpr unsigned distance = strip_rows + 4;
  static_assert(2 * S::rows * distance * sizeof(float) <= S::shared_bytes);
  const ManyMatrix& matrix = p.matrices[part.matrix];
  const unsigned thread = threadIdx.x % group_threads;
  float* staged = reinterpret_cast<float*>(ptx::dynamic_shared()) + threadIdx.x / group_threads * S::rows * distance;
  const bool aligned = (reinterpret_cast<std::uintptr_t>(matrix.y) | matrix.stride * sizeof(float)) % 16 == 0;
  const unsigned valid = min(S::rows, p.x_rows - part.first_activation);
#pragma unroll
  for (unsigned m = 0; m < S::strips; ++m) {
    if (m > 0) __syncthreads();
    each_sum<S::sums>([&](unsigned activation, unsigned row, unsigned i) {
      staged[activation * distance + row] = sums[m][i] * p.scale;
    });
    __syncthreads();
    for (unsigned i = thread; i < valid * (strip_rows / 4); i += group_threads) {
      const unsigned activation = i / (strip_rows / 4);
      const unsigned row = part.first_row + m * strip_rows + i % (strip_rows / 4) * 4;
      float4 v = *reinterpret_cast<const float4*>(staged + activation * distance + i % (strip_rows / 4) * 4);
      float* y = matrix.y + (part.first_activation + activation) * matrix.stride + row;
      if (aligned && row + 4 <= matrix.rows) {
        if (matrix.add) {
          const float4 old = *reinterpret_cast<const float4*>(y);
          v = make_float4(old.x + v.x, old.y + v.y, old.z + v.z, old.w + v.w);
        }
        *reinterpret_cast<float4*>(y) = v;
      } else {
        const float values[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (unsigned r = 0; r < 4; ++r) {
          if (row + r < matrix.rows) y[r] = matrix.add ? y[r] + values[r] : values[r];
        }
      }
    }
  }
}

// The warpgroup of gate finishes the first half of the sums and that of up the second: each gives the other what it
// needs through shared memory.
template <typename S>
__device__ inline void store_hidden(const ManyParameters& p, const Part& part,
                                    const float (&sums)[S::strips][S::sums]) {
  constexpr unsigned count = S::strips * S::sums / 2;
  constexpr unsigned activations = S::strips == 2 ? S::rows : S::rows / 2;
  constexpr unsigned distance = strip_rows + 8;
  static_assert(2 * count * group_threads * sizeof(float) <= S::shared_bytes);
  static_assert(2 * activations * distance * sizeof(__half) <= S::shared_bytes);
  const unsigned group = threadIdx.x / group_threads;
  const unsigned thread = threadIdx.x % group_threads;
  float* exchanged = reinterpret_cast<float*>(ptx::dynamic_shared());
  const auto sum = [&](unsigned i) { return sums[i / S::sums][i % S::sums]; };
#pragma unroll
  for (unsigned i = 0; i < count; ++i) {
    exchanged[(group * count + i) * group_threads + thread] = group == 0 ? sum(count + i) : sum(i);
  }
  __syncthreads();
  __half values[count];
#pragma unroll
  for (unsigned i = 0; i < count; ++i) {
    const float own = group == 0 ? sum(i) : sum(count + i);
    const float other = exchanged[((1 - group) * count + i) * group_threads + thread];
    const float gate = group == 0 ? own : other;
    const float up = group == 0 ? other : own;
    values[i] = __float2half(gate / (1 + __expf(-gate)) * up * (1 / hidden_divisor));
  }
  __syncthreads();
  __half* staged = reinterpret_cast<__half*>(ptx::dynamic_shared()) + group * activations * distance;
  each_sum<count>(
      [&](unsigned activation, unsigned row, unsigned i) { staged[activation * distance + row] = values[i]; });
  __syncthreads();
  const unsigned first_row = part.first_row + (S::strips == 2 ? group * strip_rows : 0);
  if (first_row >= p.matrices[0].padded_rows) return;
  const unsigned first_activation = part.first_activation + (S::strips == 2 ? 0 : group * activations);
  for (unsigned i = thread; i < activations * (strip_rows / 8); i += group_threads) {
    const unsigned activation = i / (strip_rows / 8);
    if (first_activation + activation >= p.x_rows) break;
    *reinterpret_cast<uint4*>(p.hidden + (first_activation + activation) * p.hidden_stride + first_row +
                              i % (strip_rows / 8) * 8) =
        *reinterpret_cast<const uint4*>(staged + activation * distance + i % (strip_rows / 8) * 8);
  }
}

}  // namespace compute::cuda::many
