// Attention over pages of keys and values in the GPU's memory (compute::KvShape has the order of blocks in a page).
//
// How a block lies: F16 keys [64 positions][head_size], F16 values transposed, [head_size][64 positions], so that both
// are K-major operands of matrix instructions; F32 keys and values both [64 positions][head_size].
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "compute/compute.h"

namespace compute::cuda {

// Where the rows of a batch stand, in the device's memory, so that a captured graph finds the next batch's there.
struct RowTable {
  const std::uint32_t* position = nullptr;    // of each row
  const std::uint32_t* first_page = nullptr;  // of each row: where its sequence's pages begin in `pages`
  std::byte* const* pages = nullptr;
};

// Up to tile_positions consecutive rows of the batch at consecutive positions of one sequence.
struct AttentionTile {
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
};

struct AttentionInput {
  KvShape shape;
  std::size_t layer = 0;
  std::size_t rows = 0;
  std::size_t heads = 0;  // of queries; heads / shape.kv_heads of them share a key/value head
  const float* q = nullptr;
  std::size_t q_stride = 0;  // floats
  RowTable table;
};

// Where the result goes: either may be absent. Halves are rounded from the float result. Rows begin at multiples of 16
// bytes, as those of queries, keys and values do.
struct AttentionOutput {
  float* floats = nullptr;
  std::size_t float_stride = 0;
  __half* halves = nullptr;
  std::size_t half_stride = 0;
};

// Keys and values of the rows, float, to be turned (RoPE, adjacent pairs, as Device::rope; nullptr: not) and stored.
struct NewKeys {
  const float* k = nullptr;
  std::size_t k_stride = 0;
  const float* v = nullptr;
  std::size_t v_stride = 0;
  const float* cos_sin = nullptr;  // {rows, head_size}
};

// For rows of which each belongs to another sequence (generation): turns q and k, stores k and v, and attends, in one
// kernel that shares a long sequence among `splits` blocks. Keys and values in F16, head_size 64 or 128, at most 16
// query heads to a key/value head. `workspace`: decode_workspace_bytes() bytes, zero before the first use.
std::size_t decode_workspace_bytes(std::size_t rows, std::size_t heads, std::size_t head_size, std::size_t splits);
void attend_decode(cudaStream_t stream, const AttentionInput& input, const NewKeys& fresh, const AttentionOutput& out,
                   std::size_t splits, void* workspace);

// For many rows of the same sequences: queries are turned and all keys and values stored before. Tiles are in the
// device's memory, `count` of them; each has at most tile_positions rows, and those with the most positions before them
// come first, so that short ones fill the end. F16, head_size 64 or 128.
inline constexpr std::size_t tile_positions = 128;
void attend_prompt(cudaStream_t stream, const AttentionInput& input, const AttentionTile* tiles, std::size_t count,
                   const AttentionOutput& out);

// The same with matrix products of a warp, or of a warpgroup, which only Hopper has (compute capability 9.0).
enum class MatrixUnit { Warp, Warpgroup };
void attend_prompt_with(MatrixUnit unit, cudaStream_t stream, const AttentionInput& input, const AttentionTile* tiles,
                        std::size_t count, const AttentionOutput& out);

// Everything else: any head size, F32 as well, in plain float arithmetic. Queries turned, keys and values stored.
void attend_plain(cudaStream_t stream, const AttentionInput& input, const AttentionOutput& out);

}  // namespace compute::cuda
