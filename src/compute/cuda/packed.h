// Weights as the GPU's kernels read them. They keep their 4 and 6 bits; only their order changes, so that every lane of
// a warp finds what its matrix instruction wants in 16 bytes of its own, and the scales are multiplied out to binary16.
//
// A matrix is cut into tiles of 16 rows and 64 columns; rows are padded with zeros to a multiple of 64, columns to one
// of 64. Tiles lie row of tiles by row of tiles. In a tile, lane l of a warp has the elements of four k16 steps, in
// each of them the A fragment of mma.m16n8k16 (and, warp w of a warpgroup having the w-th of four tiles, of
// wgmma.m64nNk16): with g = l / 4 and t = l % 4, pair 0 is (row g, columns 2t, 2t+1), pair 1 (row g + 8, the same
// columns), pair 2 (row g, columns 2t+8, 2t+9), pair 3 (row g + 8, columns 2t+8, 2t+9), columns counted from 16 * step.
//
//   Q4  w = s q - m     [32 lanes][4 steps] words of 4-bit q: pair p's first at bits 4p, its second at bits 16 + 4p
//                       [8 g][rows g, g + 8][2 groups of 32 columns] of (s, m), binary16                  640 bytes
//   Q6  w = s (q - 32)  [32 lanes][4 steps] words with the low 4 bits of q, as in Q4
//                       [32 lanes][2] words with the high 2 bits: word j has steps 2j and 2j + 1; of step 2j + i,
//                       the first of pairs 0, 2, 1, 3 are at bits 8i, 8i + 2, 8i + 4, 8i + 6, the second 16 further
//                       [8 g][rows g, g + 8][4 groups of 16 columns] of s, binary16                        896 bytes
//   F16                 [4 steps][32 lanes][4 pairs] of two binary16 numbers                             2,048 bytes
//   F32                 not tiled: rows of floats as they are, for products in float
//
// Q4_K becomes Q4, Q6_K becomes Q6, F32 and BF16 become F32, every other type that can be
// decoded F16.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "compute/compute.h"

namespace compute::cuda {

enum class Format { Q4, Q6, F16, F32 };

inline constexpr std::size_t tile_rows = 16;
inline constexpr std::size_t tile_cols = 64;
inline constexpr std::size_t row_unit = 64;  // rows are padded to a multiple of it

constexpr std::size_t tile_bytes(Format format) {
  switch (format) {
    case Format::Q4:
      return 640;
    case Format::Q6:
      return 896;
    case Format::F16:
      return 2048;
    case Format::F32:
      return tile_rows * tile_cols * 4;
  }
  return 0;
}

constexpr std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

// A matrix in the device's memory.
struct PackedMatrix {
  Format format = Format::F32;
  std::size_t rows = 0;  // of the weight, without padding
  std::size_t cols = 0;
  const std::byte* data = nullptr;

  std::size_t padded_rows() const { return format == Format::F32 ? rows : round_up(rows, row_unit); }
  std::size_t padded_cols() const { return format == Format::F32 ? cols : round_up(cols, tile_cols); }
  std::size_t bytes() const { return padded_rows() * padded_cols() * tile_bytes(format) / (tile_rows * tile_cols); }
};

Format packed_format(quant::Type type);

// The packed form of rows [first, first + count) of a weight, `first` and (but for the last rows) `count` multiples of
// 64: what is to be copied to the device at the offset of that row's tiles.
std::vector<std::byte> pack_rows(const Matrix& weight, std::size_t first, std::size_t count);

}  // namespace compute::cuda
