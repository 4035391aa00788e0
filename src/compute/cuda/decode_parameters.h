// What the kernel of generation's attention (attend_decode.cu) is given, and how its shared memory is laid out.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "compute/cuda/attention.h"
#include "compute/cuda/attention_parts.h"

namespace compute::cuda::decode {

inline constexpr unsigned warps = 4;
inline constexpr unsigned threads = 32 * warps;
inline constexpr unsigned queries_at_once = 8;
inline constexpr unsigned page_size = page_positions;
inline constexpr unsigned stages = 3;
// A sequence this short is not shared: merging costs more than reading its pages one after another.
inline constexpr unsigned pages_alone = 4;
inline constexpr unsigned min_pages_of_share = 2;
inline constexpr unsigned max_splits = 128;
// With more (row, key/value head) pairs than this there are blocks enough without sharing a sequence.
inline constexpr unsigned max_counters = 4096;

struct Parameters {
  LayerBlocks blocks;
  RowTable table;
  const float* q;
  std::size_t q_stride;
  NewKeys fresh;
  AttentionOutput out;
  unsigned heads;
  unsigned group;           // query heads of a key/value head
  unsigned parts;           // of a group, of at most queries_at_once query heads
  float scale;              // for scores in base 2
  unsigned* counters;       // [row][key/value head][part]: of the shares that are finished
  float* partial_outputs;   // [row][head][split][head_size], not divided by their sum
  float2* partial_softmax;  // [row][head][split]: maximum and sum
};

template <unsigned head_size>
struct Layout {
  static constexpr unsigned key_row = head_size * 2;  // bytes
  static constexpr unsigned value_row = page_size * 2;
  static constexpr unsigned block = head_size * page_size * 2;
  static constexpr unsigned stage = 2 * block;
  static constexpr unsigned shared = stages * stage;

  // 16 bytes of row r lie at place `chunk ^ (r % 8)` of it, so that eight rows' chunks are in different banks.
  __device__ static unsigned key_at(unsigned position, unsigned chunk) {
    return position * key_row + (chunk ^ (position % 8)) * 16;
  }
  __device__ static unsigned value_at(unsigned d, unsigned chunk) {
    return block + d * value_row + (chunk ^ (d % 8)) * 16;
  }

  // What warps merge at the end, in the same memory: floats.
  static constexpr unsigned merge_row = head_size + 8;  // so that rows begin in different banks
  static constexpr unsigned merge_outputs = 0;          // [warps][queries_at_once][merge_row]
  static constexpr unsigned merge_softmax = warps * queries_at_once * merge_row;  // [warps][queries_at_once] pairs
  static constexpr unsigned merge_weights =
      merge_softmax + 2 * warps * queries_at_once;                                      // [queries_at_once][max_splits]
  static constexpr unsigned merge_sums = merge_weights + queries_at_once * max_splits;  // [queries_at_once]
  static constexpr unsigned merge_last = merge_sums + queries_at_once;  // whether this block's share is the last
  static_assert((merge_last + 1) * sizeof(float) <= shared);
};

}  // namespace compute::cuda::decode
