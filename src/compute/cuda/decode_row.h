// What a block of generation's attention reads of its row: the queries, as operands of products, and the new key and
// value, which it stores.
#pragma once

#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>

#include "compute/cuda/attention_parts.h"
#include "compute/cuda/decode_parameters.h"

namespace compute::cuda::decode {

// A block's queries as they come: pairs 2 (lane % 4) and the next of eight elements, of query lane / 4.
template <unsigned head_size>
struct RawQueries {
  float2 x[head_size / 8];
  float2 cos_sin[head_size / 8];
};

template <unsigned head_size>
__device__ void load_queries(const Parameters& p, unsigned row, unsigned first_head, unsigned queries,
                             RawQueries<head_size>& raw) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned query = min(lane / 4, queries - 1);
  const float* from = p.q + row * p.q_stride + (first_head + query) * head_size + 2 * (lane % 4);
  const float* cos_sin = p.fresh.cos_sin + row * head_size + 2 * (lane % 4);
#pragma unroll
  for (unsigned i = 0; i < head_size / 8; ++i) {
    raw.x[i] = *reinterpret_cast<const float2*>(from + 8 * i);
    if (p.fresh.cos_sin != nullptr) raw.cos_sin[i] = *reinterpret_cast<const float2*>(cos_sin + 8 * i);
  }
}

// Turned, scaled, and as the first operand of products: rounded to halves, and in the lower rows what rounding left.
template <unsigned head_size>
__device__ void prepare_queries(const Parameters& p, unsigned queries, const RawQueries<head_size>& raw,
                                std::uint32_t (&q)[head_size / 16][4]) {
  const bool present = threadIdx.x % 32 / 4 < queries;
#pragma unroll
  for (unsigned i = 0; i < head_size / 8; ++i) {
    float2 x = p.fresh.cos_sin != nullptr ? turn(raw.x[i], raw.cos_sin[i]) : raw.x[i];
    x = present ? float2{x.x * p.scale, x.y * p.scale} : float2{0, 0};
    const std::uint32_t rounded = pack_halves(x.x, x.y);
    const float2 seen = unpack_halves(rounded);
    q[i / 2][2 * (i % 2)] = rounded;
    q[i / 2][2 * (i % 2) + 1] = pack_halves(x.x - seen.x, x.y - seen.y);
  }
}

// A pair of a head's new key and value, of the cache's halves, in one thread each of the first head_size / 2.
struct FreshPair {
  std::uint32_t key = 0;
  std::uint32_t value = 0;
};

template <unsigned head_size>
__device__ FreshPair load_fresh(const Parameters& p, unsigned row, unsigned kv_head) {
  if (threadIdx.x >= head_size / 2) return {};
  const unsigned column = kv_head * head_size + 2 * threadIdx.x;
  float2 k = *reinterpret_cast<const float2*>(p.fresh.k + row * p.fresh.k_stride + column);
  const float2 v = *reinterpret_cast<const float2*>(p.fresh.v + row * p.fresh.v_stride + column);
  if (p.fresh.cos_sin != nullptr) {
    k = turn(k, *reinterpret_cast<const float2*>(p.fresh.cos_sin + row * head_size + 2 * threadIdx.x));
  }
  return {pack_halves(k.x, k.y), pack_halves(v.x, v.y)};
}

template <unsigned head_size>
__device__ void store_fresh(FreshPair fresh, std::byte* keys, unsigned slot) {
  if (threadIdx.x >= head_size / 2) return;
  const unsigned d = 2 * threadIdx.x;
  *reinterpret_cast<std::uint32_t*>(keys + slot * head_size * 2 + d * 2) = fresh.key;
  auto* to = reinterpret_cast<std::uint16_t*>(keys + Layout<head_size>::block) + d * page_size + slot;
  to[0] = static_cast<std::uint16_t>(fresh.value);
  to[page_size] = static_cast<std::uint16_t>(fresh.value >> 16);
}

// The same into a stage of the ring.
template <unsigned head_size>
__device__ void patch_fresh(FreshPair fresh, std::byte* stage, unsigned slot) {
  using L = Layout<head_size>;
  if (threadIdx.x >= head_size / 2) return;
  const unsigned d = 2 * threadIdx.x;
  *reinterpret_cast<std::uint32_t*>(stage + L::key_at(slot, d / 8) + d % 8 * 2) = fresh.key;
  *reinterpret_cast<std::uint16_t*>(stage + L::value_at(d, slot / 8) + slot % 8 * 2) =
      static_cast<std::uint16_t>(fresh.value);
  *reinterpret_cast<std::uint16_t*>(stage + L::value_at(d + 1, slot / 8) + slot % 8 * 2) =
      static_cast<std::uint16_t>(fresh.value >> 16);
}

}  // namespace compute::cuda::decode
