// What a kernel makes of one logit: the float part of sampling (docs/numerics.md), operation by operation as processors
// do it, and never contracted.
#pragma once

#include <cuda_runtime.h>

#include <cfloat>
#include <cstddef>
#include <cstdint>

#include "compute/candidates.h"

namespace compute::cuda {

// CUDA's atomic operations know this type, not std::uint64_t.
using Wide = unsigned long long;

// Subnormal numbers count as zero, as on processors.
__device__ inline float flushed(float x) { return fabsf(x) < FLT_MIN ? 0.0F : x; }

// Numbers that are ordered as logits are, of equal ones the lower token above.
__device__ inline Wide key_of(float logit, std::size_t token) {
  const unsigned bits = __float_as_uint(flushed(logit));
  const unsigned ordered = bits >> 31 != 0 ? ~bits : bits | 0x80000000U;
  return Wide{ordered} << 32 | (0xffffffffU - static_cast<unsigned>(token));
}
__device__ inline unsigned token_of(Wide key) { return 0xffffffffU - static_cast<unsigned>(key); }
__device__ inline float logit_of(Wide key) {
  const auto ordered = static_cast<unsigned>(key >> 32);
  return __uint_as_float(ordered >> 31 != 0 ? ordered & 0x7fffffffU : ~ordered);
}

__device__ inline float edited_logit(float logit, const LogitEdit& edit) {
  const float l = flushed(logit);
  const float penalty = flushed(edit.penalty);
  const float penalised = flushed(l > 0 ? __fdiv_rn(l, penalty) : __fmul_rn(l, penalty));
  const float sum = flushed(__fadd_rn(penalised, flushed(edit.add)));
  return sum > FLT_MAX ? FLT_MAX : sum < -FLT_MAX ? -FLT_MAX : sum;
}

// numerics.md's exponential, for x <= 0.
__device__ inline float exponential(float x) {
  if (x < -87.0F) return 0;
  const float shifted = __fmaf_rn(x, 0x1.715476p+0F, 0x1.8p23F);
  const float n = __fsub_rn(shifted, 0x1.8p23F);
  float r = __fmaf_rn(n, -0x1.62e4p-1F, x);
  r = __fmaf_rn(n, -0x1.7f7d1cp-20F, r);
  float p = 0x1.a01a02p-13F;
  p = __fmaf_rn(p, r, 0x1.6c16c2p-10F);
  p = __fmaf_rn(p, r, 0x1.111112p-7F);
  p = __fmaf_rn(p, r, 0x1.555556p-5F);
  p = __fmaf_rn(p, r, 0x1.555556p-3F);
  p = __fmaf_rn(p, r, 0.5F);
  p = __fmaf_rn(p, r, 1.0F);
  p = __fmaf_rn(p, r, 1.0F);
  return __fmul_rn(p, __uint_as_float((__float_as_uint(shifted) << 23) + 0x3f800000U));
}

// A row at one temperature: which tokens may be drawn, and what they weigh.
struct RowWeights {
  const float* logits;
  const std::uint64_t* allowed;  // nullptr: all
  float greatest;
  float inverse;

  __device__ bool may_be_drawn(std::size_t token) const {
    return allowed == nullptr || (allowed[token / 64] >> (token % 64) & 1) != 0;
  }
  __device__ unsigned of(std::size_t token) const {
    if (!may_be_drawn(token)) return 0;
    const float below = flushed(__fsub_rn(flushed(logits[token]), greatest));
    const float x = flushed(__fmul_rn(below, inverse));
    return static_cast<unsigned>(__float2int_rn(__fmul_rn(exponential(x), 0x1p30F)));
  }
};

}  // namespace compute::cuda
