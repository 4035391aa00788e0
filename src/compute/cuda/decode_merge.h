// How a block's warps add up what they found, and then, where several share a sequence, the blocks.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "compute/cuda/attention.h"
#include "compute/cuda/attention_parts.h"
#include "compute/cuda/decode_page.h"
#include "compute/cuda/decode_parameters.h"
#include "compute/cuda/lanes.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda::decode {

__device__ inline void write_output(const AttentionOutput& out, unsigned row, unsigned column, float4 y) {
  if (out.floats != nullptr) *reinterpret_cast<float4*>(out.floats + row * out.float_stride + column) = y;
  if (out.halves != nullptr) {
    *reinterpret_cast<uint2*>(out.halves + row * out.half_stride + column) = {pack_halves(y.x, y.y),
                                                                              pack_halves(y.z, y.w)};
  }
}

__device__ inline void add_scaled(float4& y, float4 x, float factor) {
  y = {fmaf(x.x, factor, y.x), fmaf(x.y, factor, y.y), fmaf(x.z, factor, y.z), fmaf(x.w, factor, y.w)};
}
__device__ inline float4 scaled(float4 x, float factor) {
  return {x.x * factor, x.y * factor, x.z * factor, x.w * factor};
}

// The block whose share is finished last adds all shares, in their order.
template <unsigned head_size>
__device__ void merge_shares(const Parameters& p, unsigned row, unsigned first_head, unsigned queries, unsigned shares,
                             float* merge) {
  using L = Layout<head_size>;
  const unsigned lane = threadIdx.x % 32;
  const std::size_t first_partial = (static_cast<std::size_t>(row) * p.heads + first_head) * gridDim.z;
  // All loads of a step are under way together: their latencies are most of what merging costs.
  for (unsigned query = threadIdx.x / 32; query < queries; query += warps) {
    const float2* softmax = p.partial_softmax + first_partial + query * gridDim.z;
    float2 of_share[max_splits / 32];
    float max = -INFINITY;
#pragma unroll
    for (unsigned i = 0; i < max_splits / 32; ++i) {
      const unsigned share = lane + 32 * i;
      of_share[i] = share < shares ? __ldcg(softmax + share) : float2{-INFINITY, 0};
    }
#pragma unroll
    for (unsigned i = 0; i < max_splits / 32; ++i) max = fmaxf(max, of_share[i].x);
    for (unsigned mask = 16; mask > 0; mask /= 2) max = fmaxf(max, __shfl_xor_sync(0xffffffffU, max, mask));
    const float subtracted = finite_max(max);
    float sum = 0;
#pragma unroll
    for (unsigned i = 0; i < max_splits / 32; ++i) {
      const float weight = exp2f(of_share[i].x - subtracted);
      merge[L::merge_weights + query * max_splits + lane + 32 * i] = weight;
      sum = fmaf(of_share[i].y, weight, sum);
    }
    for (unsigned mask = 16; mask > 0; mask /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, mask);
    if (lane == 0) merge[L::merge_sums + query] = sum;
  }
  __syncthreads();
  for (unsigned at = 4 * threadIdx.x; at < queries * head_size; at += 4 * threads) {
    const unsigned query = at / head_size;
    const float* weights = merge + L::merge_weights + query * max_splits;
    const float* outputs = p.partial_outputs + (first_partial + query * gridDim.z) * head_size + at % head_size;
    constexpr unsigned shares_at_once = 32;
    float4 y{};
    for (unsigned first = 0; first < shares; first += shares_at_once) {
      float4 x[shares_at_once];
#pragma unroll
      for (unsigned i = 0; i < shares_at_once; ++i) {
        const float* from = outputs + (first + i) * head_size;
        x[i] = first + i < shares ? __ldcg(reinterpret_cast<const float4*>(from)) : float4{};
      }
#pragma unroll
      for (unsigned i = 0; i < shares_at_once; ++i) add_scaled(y, x[i], weights[first + i]);
    }
    write_output(p.out, row, first_head * head_size + at, scaled(y, 1.0F / merge[L::merge_sums + query]));
  }
}

// Adds the warps' results; writes the output where no other block shares the sequence, or this block's share of it.
template <unsigned head_size>
__device__ void finish(const Parameters& p, unsigned row, unsigned first_head, unsigned queries, unsigned shares,
                       const Softmax<head_size>& softmax) {
  using L = Layout<head_size>;
  float* merge = reinterpret_cast<float*>(ptx::dynamic_shared());
  float2* merge_softmax = reinterpret_cast<float2*>(merge + L::merge_softmax);
  const unsigned lane = threadIdx.x % 32;
  const unsigned mine = threadIdx.x / 32 * queries_at_once + lane / 4;
  const float sum_of_lanes = quad_sum(softmax.sum);
  __syncthreads();  // the ring is no longer read
  if (lane % 4 == 0) merge_softmax[mine] = {softmax.max, sum_of_lanes};
#pragma unroll
  for (unsigned i = 0; i < head_size / 8; ++i) {
    *reinterpret_cast<float2*>(merge + L::merge_outputs + mine * L::merge_row + 8 * i + 2 * (lane % 4)) = {
        whole(softmax.outputs[i][0], softmax.outputs[i][2]), whole(softmax.outputs[i][1], softmax.outputs[i][3])};
  }
  __syncthreads();

  const std::size_t first_partial = (static_cast<std::size_t>(row) * p.heads + first_head) * gridDim.z + blockIdx.z;
  for (unsigned at = 4 * threadIdx.x; at < queries * head_size; at += 4 * threads) {
    const unsigned query = at / head_size;
    const unsigned d = at % head_size;
    float max = -INFINITY;
#pragma unroll
    for (unsigned warp = 0; warp < warps; ++warp) max = fmaxf(max, merge_softmax[warp * queries_at_once + query].x);
    const float subtracted = finite_max(max);
    float sum = 0;
    float4 y{};
#pragma unroll
    for (unsigned warp = 0; warp < warps; ++warp) {
      const float2 of_warp = merge_softmax[warp * queries_at_once + query];
      const float weight = exp2f(of_warp.x - subtracted);
      sum = fmaf(of_warp.y, weight, sum);
      const float* outputs = merge + L::merge_outputs + (warp * queries_at_once + query) * L::merge_row + d;
      add_scaled(y, *reinterpret_cast<const float4*>(outputs), weight);
    }
    if (shares == 1) {
      write_output(p.out, row, first_head * head_size + at, scaled(y, 1.0F / sum));
    } else {
      const std::size_t partial = first_partial + query * gridDim.z;
      *reinterpret_cast<float4*>(p.partial_outputs + partial * head_size + d) = y;
      if (d == 0) p.partial_softmax[partial] = {max, sum};
    }
  }
  if (shares == 1) return;

  unsigned* last = reinterpret_cast<unsigned*>(merge + L::merge_last);
  unsigned* counter = p.counters + row * gridDim.x + blockIdx.x;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) *last = atomicAdd(counter, 1U) == shares - 1 ? 1U : 0U;
  __syncthreads();
  if (*last == 0) return;
  __threadfence();
  if (threadIdx.x == 0) *counter = 0;
  merge_shares<head_size>(p, row, first_head, queries, shares, merge);
}

}  // namespace compute::cuda::decode
