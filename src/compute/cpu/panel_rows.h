// The blocks of a panel of weight rows, where they lie in memory.
//
// Everything is in an anonymous namespace and calls no library function: each instruction set's file gets its own copy.
#pragma once

#include "compute/cpu/kernels.h"

namespace compute::cpu {
namespace {

inline int load32(const void* p) {
  int value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

// Asks memory for piece `piece` of the weight rows from r on, as many bytes as are unpacked at a time, so that over all
// pieces they are asked for whole, in the order of addresses: left to itself the processor does not follow as many rows
// at once as a panel has.
template <std::size_t bytes>
[[gnu::always_inline]] inline void ask_for_next(const WeightRows& w, std::size_t r, std::size_t piece) {
  const std::uint8_t* p = w.data + r * w.row_bytes + piece * bytes;
  for (std::size_t at = 0; at < bytes; at += 64) __builtin_prefetch(p + at, 0, 2);
}

// Calls body(p, stride), p being block `block` of row r of a panel's and stride the way to the next row; where the
// weight has fewer than `lanes` rows left, on a copy in which the missing ones are zero.
template <std::size_t lanes, std::size_t block_bytes, typename Body>
[[gnu::always_inline]] inline void with_rows(const WeightRows& w, std::size_t r, std::size_t block, Body body) {
  const std::uint8_t* p = w.data + r * w.row_bytes + block * block_bytes;
  if (w.rows >= r + lanes) {
    body(p, w.row_bytes);
  } else {
    std::uint8_t copy[lanes * block_bytes] = {};
    for (std::size_t i = 0; r + i < w.rows; ++i)
      __builtin_memcpy(copy + i * block_bytes, p + i * w.row_bytes, block_bytes);
    body(copy, block_bytes);
  }
}

}  // namespace
}  // namespace compute::cpu
