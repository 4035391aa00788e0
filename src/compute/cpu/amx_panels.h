// What exact and fast products on AMX tiles share: panels of weight rows, tiles of activation rows, and where sums lie.
//
// The lanes of a panel are 16 weight rows, as in vector_products.h: its vectors of four columns of each row are the
// rows of a tile b, so the same formats unpack them.
//
// Everything is in an anonymous namespace and calls no library function: each file that includes it gets its own copy.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "compute/cpu/avx512_integers.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/panel_rows.h"
#include "compute/cpu/tiles.h"
#include "compute/cpu/vector_formats.h"

namespace compute::cpu {
namespace {

using I = Int512;
using Int = I::Int;
using Float = I::Float;
using Formats = ProductFormats<I>;
using Factors = Formats::Factors;

constexpr std::size_t lanes = 16;
constexpr std::size_t steps = 256 / tile_row_bytes;  // products of tiles for a block of 256 columns

constexpr std::size_t pair_floats = 2 * tile_rows * lanes;  // sums of a pair of panels and a tile of activations

// Of each pair of panels and tile of activations: [row][panel][lane].
using TiledSums = float[tiled_weight_rows / (2 * lanes)][tiled_rows / tile_rows][pair_floats];

// Both 16-bit halves of a lane: its low 16 bits.
inline Int twice(Int x) {
  return _mm512_shuffle_epi8(x, _mm512_set4_epi32(0x0d0c0d0c, 0x09080908, 0x05040504, 0x01000100));
}

// Bytes 0 and 2 from `even`, 1 and 3 from `odd`.
inline Int merge(Int even, Int odd) {
  constexpr int choose = 0xca;
  return _mm512_ternarylogic_epi32(I::ints(0x00ff00ff), even, odd, choose);
}

inline std::size_t tiles_of(std::size_t n) { return (n + tile_rows - 1) / tile_rows; }

// Lanes of sums that are kept, not begun.
inline __mmask16 keep(bool begin) { return static_cast<__mmask16>(begin ? 0 : 0xffff); }

// Puts the sums of an activation row and weight rows r to r + 15 where they belong.
inline void put_row(const float* sums, const WeightRows& w, std::size_t r, const Output& out, std::size_t a) {
  const std::size_t left = w.rows - r;
  const auto mask = static_cast<__mmask16>(left >= lanes ? 0xffffU : (1U << left) - 1U);
  float* y = out.y + a * out.stride + r;
  Float value = _mm512_load_ps(sums);
  if (out.add) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), value);
  _mm512_mask_storeu_ps(y, mask, value);
}

inline void put_all(const TiledSums& sums, std::size_t n, const WeightRows& w, const Output& out) {
  for (std::size_t a = 0; a < n; ++a) {
    for (std::size_t r = 0; r < w.rows; r += lanes) {
      const float* tile = sums[r / (2 * lanes)][a / tile_rows];
      put_row(tile + (a % tile_rows * 2 + r / lanes % 2) * lanes, w, r, out, a);
    }
  }
}

}  // namespace
}  // namespace compute::cpu
