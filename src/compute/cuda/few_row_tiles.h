// Rows of tiles of packed weights times few rows of activations, by one block: the warps' rings of units, and where the
// warps' sums meet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "compute/cuda/few_plan.h"
#include "compute/cuda/few_staging.h"
#include "compute/cuda/few_tiles.h"
#include "compute/cuda/lanes.h"
#include "compute/cuda/packed.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda::few {

// Where a warp is in the units that it copies: units warp, warp + warps, … of each row of tiles.
struct Place {
  unsigned row = 0;
  unsigned unit;

  __device__ void advance(unsigned warps, unsigned units) {
    unit += warps;
    if (unit >= units) {
      unit = threadIdx.x / 32;
      ++row;
    }
  }
};

// Copies the bytes of a unit's tiles of one matrix.
template <unsigned bytes>
__device__ void copy_unit(std::uint32_t to, const std::byte* from, unsigned lane) {
#pragma unroll
  for (unsigned at = 0; at < bytes; at += 512) {
    if (bytes % 512 == 0 || at + lane * 16 < bytes) ptx::copy_async(to + at + lane * 16, from + at + lane * 16);
  }
}

// Multiplies rows of tiles [begin, end) of one matrix, or of two of the same shape. output.before(row of tiles) may
// read what will be needed to store it; output.store(row of tiles, totals, that) is called by a thread for each number.
template <bool single, unsigned warps, unsigned slots, bool two, Format first_format, Format second_format,
          typename Source, typename Output>
__device__ void multiply_row_tiles(const Source& source, const Shape& shape, const std::byte* first_data,
                                   const std::byte* second_data, unsigned begin, unsigned end, const Output& output) {
  constexpr unsigned first_bytes = tile_bytes(first_format);
  constexpr unsigned second_bytes = two ? tile_bytes(second_format) : 0;
  constexpr unsigned tiles_of_unit = unit_of(first_format, two ? second_format : first_format);
  constexpr unsigned slot_bytes = tiles_of_unit * (first_bytes + second_bytes);
  const unsigned lane = threadIdx.x % 32;
  const unsigned warp = threadIdx.x / 32;
  const unsigned row_count = end - begin;
  const unsigned units = (shape.tiles + tiles_of_unit - 1) / tiles_of_unit;
  std::byte* const ring = ptx::dynamic_shared() + shape.ring_offset + warp * slots * slot_bytes;
  const std::uint32_t ring_address = ptx::shared_address(ring);

  Place next{.unit = warp};  // to be copied
  const auto copy = [&](unsigned slot) {
    if (next.row < row_count && next.unit < units) {
      const unsigned tile = next.unit * tiles_of_unit;
      const std::size_t index = std::size_t{begin + next.row} * shape.tiles + tile;
      const std::uint32_t to = ring_address + slot * slot_bytes;
      copy_unit<tiles_of_unit * first_bytes>(to, first_data + index * first_bytes, lane);
      if constexpr (two) {
        copy_unit<tiles_of_unit * second_bytes>(to + tiles_of_unit * first_bytes, second_data + index * second_bytes,
                                                lane);
      }
      next.advance(warps, units);
    }
    ptx::copy_async_commit();
  };
#pragma unroll 1
  for (unsigned slot = 0; slot < slots; ++slot) copy(slot);
  const unsigned rows = single ? 1 : source.rows;
  const Staging<single> staging(ptx::dynamic_shared(), shape.staged_tiles, rows);
  typename Source::Constants constants;
  source.prepare(constants);

  ptx::wait_for_dependencies();
  constexpr bool by_units = single && tiles_of_unit == unit_tiles;
  using Total = std::conditional_t<by_units, UnitSums, Sums>;
  unsigned slot = 0;
  for (unsigned r = 0; r < row_count; ++r) {
    const float before = output.before(begin + r);
    Total first_sums;
    Total second_sums;
    unsigned staged = 0;  // the first tile whose activations are staged
    for (unsigned round_tile = 0; round_tile < shape.tiles; round_tile += warps * tiles_of_unit) {
      if (round_tile % shape.staged_tiles == 0 && (r == 0 || shape.staged_tiles < shape.tiles)) {
        staged = round_tile;
        if (r > 0 || round_tile > 0) __syncthreads();
        source.stage(staging, constants, staged, min(shape.staged_tiles, shape.tiles - staged));
        // Where each thread has staged 8 columns of a single row, a warp has staged the unit that it multiplies. A
        // norm's sums, which all warps read, lie where the first row of tiles' partial sums will.
        static_assert(32 * vector_cols == unit_tiles * width);
        if (by_units && std::is_same_v<Source, HalfSource> && shape.tiles <= warps * tiles_of_unit) {
          __syncwarp();
        } else {
          __syncthreads();
        }
      }
      const unsigned tile = round_tile + warp * tiles_of_unit;
      if (tile >= shape.tiles) continue;
      ptx::copy_async_wait<slots - 1>();
      __syncwarp();
      const std::byte* from = ring + slot * slot_bytes;
      if constexpr (by_units) {
        UnitInput x;
        staging.load_unit(tile - staged, lane, x);
        FewUnit<first_format>::multiply(from, lane, x, first_sums);
        if constexpr (two) FewUnit<second_format>::multiply(from + tiles_of_unit * first_bytes, lane, x, second_sums);
      } else {
#pragma unroll
        for (unsigned i = 0; i < tiles_of_unit; ++i) {
          TileInput x;
          staging.load(tile - staged + i, tiles_of_unit == 4 ? i : (tile - staged) % 4, lane, x);
          FewTile<first_format> first;
          first.load(from + i * first_bytes, lane);
          first.template multiply<single>(x, first_sums);
          if constexpr (two) {
            FewTile<second_format> second;
            second.load(from + tiles_of_unit * first_bytes + i * second_bytes, lane);
            second.template multiply<single>(x, second_sums);
          }
        }
      }
      __syncwarp();
      copy(slot);
      slot = slot + 1 == slots ? 0 : slot + 1;
    }

    // Rows of tiles take turns with two places for their partial sums, so that one barrier for each is enough.
    constexpr unsigned streams = two ? 2 : 1;
    const unsigned warp_values = rows * height;
    float* partials = staging.partials + r % 2 * streams * warps * warp_values;
    const unsigned g = lane / 4;
    const unsigned t = lane % 4;
    if constexpr (by_units) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const float first = quad_sum(FewUnit<first_format>::total(first_sums, row));
        float* at = partials + warp * warp_values + g + 8 * row;
        if (t == 0) *at = first;
        if constexpr (two) {
          const float second = quad_sum(FewUnit<second_format>::total(second_sums, row));
          if (t == 0) at[warps * warp_values] = second;
        }
      }
    } else {
#pragma unroll
      for (unsigned i = 0; i < 4; i += single ? 2 : 1) {
        const unsigned activation = 2 * t + i % 2;
        if (activation >= rows) continue;
        float* at = partials + warp * warp_values + activation * height + g + i / 2 * 8;
        *at = FewTile<first_format>::total(first_sums, i);
        if constexpr (two) at[warps * warp_values] = FewTile<second_format>::total(second_sums, i);
      }
    }
    __syncthreads();
    if (threadIdx.x < warp_values) {
      float totals[streams] = {};
#pragma unroll
      for (unsigned w = 0; w < streams * warps; ++w) totals[w / warps] += partials[w * warp_values + threadIdx.x];
      output.store(begin + r, totals, before);
    }
  }
}

}  // namespace compute::cuda::few
