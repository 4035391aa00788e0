// How a product of few rows is cut into blocks of its kernel (multiply_few.cu), and how their shared memory is divided.
// Plain arithmetic: no GPU is asked.
#pragma once

#include <cstddef>
#include <span>

#include "compute/cuda/packed.h"
#include "compute/cuda/products.h"

namespace compute::cuda::few {

inline constexpr unsigned norm_warps = 8;   // of a block, and of every one that makes a norm
inline constexpr unsigned wide_warps = 16;  // of one for long rows of few matrices
inline constexpr unsigned long_slots = 2;   // of a warp's ring; 1 if it multiplies no more than four tiles

// Tiles that a warp copies, and waits for, together: neighbours in a row of tiles, of Q4 and Q6 those of 256 columns,
// which are a block of Q4_K or Q6_K, so that there is no part of a unit.
inline constexpr unsigned unit_tiles = 4;
constexpr unsigned unit_of(Format first, Format second) {
  return first == Format::F16 || second == Format::F16 ? 1 : unit_tiles;
}

// Bytes of a block's ring of `slots` such units to a warp.
constexpr std::size_t ring_bytes(unsigned warps, unsigned slots, Format format) {
  return std::size_t{warps} * slots * unit_of(format, format) * tile_bytes(format);
}
constexpr std::size_t ring_bytes(unsigned warps, unsigned slots, Format first, Format second) {
  return std::size_t{warps} * slots * unit_of(first, second) * (tile_bytes(first) + tile_bytes(second));
}

// Bytes of a staged tile of activations: B fragments, and two sums of 32 columns for one row or for as many as there
// can be.
constexpr std::size_t staged_tile_bytes(std::size_t rows) {
  return 128 * rows + 2 * sizeof(float) * (rows == 1 ? 1 : few_rows);
}
// Bytes of the warps' partial sums, for two rows of tiles in turn. `streams`: of tiles, 2 for SwiGLU.
constexpr std::size_t partial_bytes(unsigned streams, unsigned warps, std::size_t rows) {
  return 2 * streams * warps * rows * tile_rows * sizeof(float);
}

// What a block must be able to have: SwiGLU stages all of its rows at once, as it makes their norm, and no unit is
// larger than two matrices' of Q6. It is just what compute capability 8.0 has.
inline constexpr std::size_t least_shared_bytes = most_norm_cols / tile_cols * staged_tile_bytes(few_rows) +
                                                  partial_bytes(2, norm_warps, few_rows) +
                                                  ring_bytes(norm_warps, long_slots, Format::Q6, Format::Q6);

// What of a GPU matters here.
struct Limits {
  std::size_t shared_bytes = 0;  // that a block can have; at least least_shared_bytes
  std::size_t multiprocessors = 0;
};

// The shape of the work, the same for all blocks of a launch.
struct Shape {
  unsigned tiles;         // in a row of tiles
  unsigned staged_tiles;  // of activations at once: all, or a multiple of what the warps copy together
  unsigned ring_offset;   // of the ring in shared memory
};

struct FewPlan {
  Shape shape;
  unsigned warps;            // of a block: 8 or 16
  unsigned slots;            // of a warp's ring: 1 or 2
  unsigned block_row_tiles;  // rows of tiles of each block
  std::size_t shared_bytes;  // of each block
};

// A launch of products of the same input in `rows` rows. `halves`: it is not a norm, for which blocks have 8 warps and
// stage all of a row at once.
FewPlan plan_products(std::span<const OutputProduct> products, std::size_t rows, bool halves, const Limits& limits);
FewPlan plan_swiglu(const PackedMatrix& gate, const PackedMatrix& up, std::size_t rows, const Limits& limits);

// Rows of tiles that have something to multiply.
constexpr std::size_t row_tiles_of(const PackedMatrix& weight) { return (weight.rows + tile_rows - 1) / tile_rows; }

}  // namespace compute::cuda::few
