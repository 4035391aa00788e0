// What the kernel of many rows (multiply_many.cu) is given, and what of it is fixed at compilation.
#pragma once

#include <cuda_fp16.h>

#include <cstddef>

#include "compute/cuda/multiply_many.h"
#include "compute/cuda/packed.h"

namespace compute::cuda::many {

inline constexpr unsigned threads = 256;        // of a block: two warpgroups
inline constexpr unsigned group_threads = 128;  // of a warpgroup
inline constexpr unsigned strip_rows = 64;      // of weights, the height of a warpgroup's matrix products
inline constexpr unsigned max_matrices = 4;
inline constexpr unsigned raster_tiles = 16;  // activation tiles that pass over the weights together

// What of a kernel is fixed at compilation. `halves`: whether F16 weights may occur, which need larger stages.
template <unsigned rows_, unsigned strips_, unsigned stages_, unsigned blocks_, unsigned ring_, bool halves_,
          Instructions instructions_ = Instructions::Warpgroup>
struct ManyShape {
  static constexpr unsigned rows = rows_;      // N: rows of activations
  static constexpr unsigned strips = strips_;  // MT
  static constexpr unsigned stages = stages_;
  static constexpr unsigned blocks = blocks_;  // on a multiprocessor
  static constexpr unsigned ring = ring_;      // chunks whose A fragments are in registers
  static constexpr bool halves = halves_;
  static constexpr Instructions instructions = instructions_;

  static constexpr unsigned block_rows = 2 * strips * strip_rows;  // of weights
  static constexpr unsigned sums = rows / 2;                       // of a thread and strip
  static constexpr unsigned slot_tile_bytes = tile_bytes(halves ? Format::F16 : Format::Q6);
  static constexpr unsigned activation_bytes = rows * 128;
  static constexpr unsigned stage_bytes = activation_bytes + 8 * strips * slot_tile_bytes;
  static constexpr unsigned shared_bytes = stages * stage_bytes;

  // Of a multiprocessor, which the system takes 1 KiB of for each block: 228 KiB with compute capability 9.0; 100 with
  // 8.6 and 8.9, where warps multiply by themselves.
  static constexpr unsigned processor_shared_bytes = (instructions == Instructions::Warpgroup ? 228 : 100) * 1024;
  static_assert(blocks * (shared_bytes + 1024) <= processor_shared_bytes);
};

struct ManyMatrix {
  const std::byte* data;
  Format format;
  unsigned rows;
  unsigned padded_rows;
  unsigned first_tile;  // of the row tiles of all matrices
  bool add;
  float* y;
  std::size_t stride;
};

struct ManyParameters {
  const __half* x;
  unsigned x_stride;
  unsigned x_rows;
  unsigned steps;  // tiles in a row of them
  unsigned matrix_count;
  unsigned row_tiles;
  unsigned activation_tiles;
  unsigned splits;
  float scale;
  bool prefetch;   // weights into L2, where they are read once
  __half* hidden;  // SwiGLU: matrices[0] is gate, matrices[1] up
  std::size_t hidden_stride;
  unsigned* arrived;  // blocks of a tile whose partial sums are there; zero between launches
  float* partial;
  ManyMatrix matrices[max_matrices];
};

}  // namespace compute::cuda::many
