// A block's part of a product of many rows: which part that is, and the loop over its columns that multiplies it on the
// matrix units (multiply_many.cu says how).
#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/cuda/fragments.h"
#include "compute/cuda/many_parameters.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda::many {

inline constexpr unsigned prefetch_steps = 8;

// What a warpgroup has to do.
struct Part {
  unsigned tile = 0;              // in the order of the grid
  unsigned first_activation = 0;  // row of x
  unsigned matrix = 0;
  unsigned first_row = 0;  // of the matrix, at which this warpgroup's first strip begins
  unsigned split = 0;
  unsigned first_step = 0;
  unsigned steps = 0;
};

// Of warpgroup `group` (0 or 1) of block `block`.
template <typename S>
__device__ inline Part find_part(const ManyParameters& p, unsigned block, unsigned group) {
  Part part;
  part.tile = block / p.splits;
  part.split = block % p.splits;
  part.first_step = p.steps * part.split / p.splits;
  part.steps = p.steps * (part.split + 1) / p.splits - part.first_step;

  const unsigned band = part.tile / (raster_tiles * p.row_tiles);
  const unsigned width = min(raster_tiles, p.activation_tiles - band * raster_tiles);
  const unsigned in_band = part.tile - band * raster_tiles * p.row_tiles;
  const unsigned row_tile = in_band / width;
  part.first_activation = (band * raster_tiles + in_band % width) * S::rows;
  if (p.hidden != nullptr) {
    part.matrix = group;
    part.first_row = row_tile * S::strips * strip_rows;
  } else {
    while (part.matrix + 1 < p.matrix_count && row_tile >= p.matrices[part.matrix + 1].first_tile) ++part.matrix;
    part.first_row = (row_tile - p.matrices[part.matrix].first_tile) * S::block_rows + group * S::strips * strip_rows;
  }
  return part;
}

// Tells the compiler that sums may have changed: it must not move their uses over a wait.
template <unsigned count>
__device__ inline void pin(float (&sums)[count]) {
#ifdef __CUDA_ARCH__
#pragma unroll
  for (unsigned i = 0; i < count; ++i) asm volatile("" : "+f"(sums[i])::"memory");
#else
  (void)sums;
#endif
}

// sums += a · b for a chunk of 16 columns with the instructions of a single warp; b: row 0 of the activations in shared
// memory, swizzled as for a warpgroup, whose layout of sums this has too.
template <unsigned rows>
__device__ inline void multiply_warp(float (&sums)[rows / 2], const std::uint32_t (&a)[4], std::uint32_t b,
                                     unsigned chunk, unsigned lane) {
#pragma unroll
  for (unsigned n = 0; n < rows; n += 16) {
    const unsigned row = n + lane / 16 * 8 + lane % 8;
    std::uint32_t pairs[4];
    ptx::load_matrices(b + row * 128 + ((2 * chunk + lane / 8 % 2) ^ (row % 8)) * 16, pairs);
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
      float(&d)[4] = *reinterpret_cast<float(*)[4]>(&sums[n / 2 + 4 * half]);
      const std::uint32_t operand[2] = {pairs[2 * half], pairs[2 * half + 1]};
      ptx::multiply(d, a, operand);
    }
  }
}

// sums[strip][...] = this warpgroup's strips · xᵀ, in the layout of the matrix instructions: sum 4j + 2h + i of lane 4g
// + t is weight row g + 8h of the warp's tile and activation row 8j + 2t + i.
template <typename S, Format format>
__device__ __forceinline__ void multiply_tiles(const ManyParameters& p, const Part& part,
                                               float (&sums)[S::strips][S::sums]) {
  constexpr unsigned bytes = TileFragments<format>::bytes;
  constexpr unsigned ahead = S::stages - 2;  // steps in shared memory, or on the way to it, before the current one ends
  const unsigned lane = threadIdx.x % 32;
  const unsigned warp = threadIdx.x / 32;

  const ManyMatrix& matrix = p.matrices[part.matrix];
  // Strips beyond the end repeat the last one; nothing is stored of them.
  const unsigned row = min(part.first_row, matrix.padded_rows - strip_rows);
  const unsigned strip_bytes = row + strip_rows < matrix.padded_rows ? strip_rows / 16 * p.steps * bytes : 0;
  const std::byte* from =
      matrix.data + (std::size_t{row / tile_rows + warp % 4} * p.steps + part.first_step) * bytes + lane * 16;
  const std::byte* memory = ptx::dynamic_shared();
  const std::uint32_t base = ptx::shared_address(memory);
  const unsigned tile_at = S::activation_bytes + warp * S::strips * S::slot_tile_bytes;

  // Each call copies the next step's.
  const auto copy_weights = [&](unsigned slot) {
#pragma unroll
    for (unsigned m = 0; m < S::strips; ++m) {
#pragma unroll
      for (unsigned at = 0; at < bytes; at += 512) {
        if (bytes - at >= 512 || lane * 16 < bytes - at) {
          ptx::copy_async(base + slot * S::stage_bytes + tile_at + m * S::slot_tile_bytes + at + lane * 16,
                          from + m * strip_bytes + at);
        }
      }
    }
    from += bytes;
  };
  // Asks memory for the tiles of `distance` steps further on than the next one to be copied, a line each lane.
  const auto prefetch_weights = [&](unsigned distance) {
    const unsigned line = lane % 16;
    const unsigned strip = lane / 16;
    if (line < bytes / 128 && strip < S::strips) {
      ptx::prefetch_l2(from - lane * 16 + strip * strip_bytes + distance * bytes + line * 128);
    }
  };
  const unsigned x_row = threadIdx.x / 8;
  const unsigned x_chunk = threadIdx.x % 8;
  unsigned x_at = (part.first_activation + x_row) * p.x_stride + part.first_step * 64 + x_chunk * 8;
  const unsigned x_left = part.first_activation + x_row < p.x_rows ? p.x_rows - part.first_activation - x_row : 0;
  const std::uint32_t x_to = base + x_row * 128 + ((x_chunk ^ (x_row % 8)) * 16);
  const auto copy_activations = [&](unsigned slot) {
#pragma unroll
    for (unsigned n = 0; n < S::rows; n += threads / 8) {
      const bool valid = n < x_left;
      ptx::copy_async(x_to + slot * S::stage_bytes + n * 128, p.x + (valid ? x_at + n * p.x_stride : 0), valid);
    }
    x_at += 64;
  };

#pragma unroll 1
  for (unsigned step = 0; step < ahead; ++step) {
    if (step < part.steps) copy_weights(step);
  }
  if (p.prefetch) {
#pragma unroll 1
    for (unsigned step = 0; step < prefetch_steps; ++step) {
      if (ahead + step < part.steps) prefetch_weights(step);
    }
  }
  ptx::wait_for_dependencies();
#pragma unroll 1
  for (unsigned step = 0; step < ahead; ++step) {
    if (step < part.steps) copy_activations(step);
    ptx::copy_async_commit();
  }

  TileFragments<format> tiles[S::strips];
  const auto load_tiles = [&](unsigned slot) {
#pragma unroll
    for (unsigned m = 0; m < S::strips; ++m) {
      tiles[m].load(memory + slot * S::stage_bytes + tile_at + m * S::slot_tile_bytes, lane);
    }
  };
#pragma unroll
  for (unsigned m = 0; m < S::strips; ++m) {
#pragma unroll
    for (unsigned i = 0; i < S::sums; ++i) sums[m][i] = 0;
  }

  constexpr unsigned ring = S::ring;
  if constexpr (S::instructions == Instructions::Warpgroup) {
    // Chunk c has its fragments in a[c % ring]. Those of chunk c + lead are made after the products of chunk c have
    // been started, when those of chunk c - lead, the last to use the same registers, have ended.
    constexpr unsigned lead = ring / 2;
    std::uint32_t a[ring][S::strips][4];
    // F16's are in shared memory as they are: loaded a tile at a time they would be in a's registers while products
    // read them, which makes the compiler wait for each product.
    const auto make_fragments = [&](unsigned chunk, unsigned slot) {
#pragma unroll
      for (unsigned m = 0; m < S::strips; ++m) {
        std::uint32_t(&to)[4] = a[chunk % ring][m];
        if constexpr (format == Format::F16) {
          const uint4 v = *reinterpret_cast<const uint4*>(memory + slot * S::stage_bytes + tile_at +
                                                          m * S::slot_tile_bytes + chunk % 4 * 512 + lane * 16);
          to[0] = v.x;
          to[1] = v.y;
          to[2] = v.z;
          to[3] = v.w;
        } else {
          tiles[m].fragment(static_cast<int>(chunk % 4), to);
        }
      }
    };
    ptx::copy_async_wait<ahead - 1>();
    __syncthreads();
    if (format != Format::F16) load_tiles(0);
#pragma unroll
    for (unsigned chunk = 0; chunk < lead; ++chunk) make_fragments(chunk, 0);
#pragma unroll
    for (unsigned m = 0; m < S::strips; ++m) pin(sums[m]);

    unsigned slot = 0;
#pragma unroll 1
    for (unsigned steps = part.steps; steps > 0; --steps) {
      // This step and the next are there, and both warpgroups are done with the one before the last.
      ptx::copy_async_wait<ahead - 2>();
      ptx::fence_async_shared();
      __syncthreads();
      const std::uint64_t b = ptx::matrix_descriptor(base + slot * S::stage_bytes);
      const unsigned next = slot + 1 == S::stages ? 0 : slot + 1;
#pragma unroll
      for (unsigned chunk = 0; chunk < 4; ++chunk) {
        ptx::warpgroup_arrive();
#pragma unroll
        for (unsigned m = 0; m < S::strips; ++m) {
          ptx::multiply_warpgroup<S::rows>(sums[m], a[chunk % ring][m], b + chunk * (32 >> 4), true);
        }
        ptx::warpgroup_commit();
        if (chunk == 0) {
          if (steps > ahead) {
            const unsigned free_slot = slot < 2 ? slot + ahead : slot - 2;
            if (p.prefetch && steps > ahead + prefetch_steps) prefetch_weights(prefetch_steps);
            copy_weights(free_slot);
            copy_activations(free_slot);
          }
          ptx::copy_async_commit();
        }
        ptx::warpgroup_wait<lead>();
        make_fragments(chunk + lead, chunk + lead < 4 ? slot : next);
        if (chunk + lead == 3 && format != Format::F16) load_tiles(next);
      }
      slot = next;
    }
    ptx::warpgroup_wait<0>();
#pragma unroll
    for (unsigned m = 0; m < S::strips; ++m) pin(sums[m]);
  } else {
    unsigned slot = 0;
#pragma unroll 1
    for (unsigned steps = part.steps; steps > 0; --steps) {
      ptx::copy_async_wait<ahead - 1>();
      __syncthreads();
      if (steps > ahead) {
        const unsigned free_slot = slot < 2 ? slot + ahead : slot - 2;
        copy_weights(free_slot);
        copy_activations(free_slot);
      }
      ptx::copy_async_commit();
      load_tiles(slot);
#pragma unroll
      for (unsigned chunk = 0; chunk < 4; ++chunk) {
#pragma unroll
        for (unsigned m = 0; m < S::strips; ++m) {
          std::uint32_t a[4];
          tiles[m].fragment(static_cast<int>(chunk), a);
          multiply_warp<S::rows>(sums[m], a, base + slot * S::stage_bytes, chunk, lane);
        }
      }
      slot = slot + 1 == S::stages ? 0 : slot + 1;
    }
  }
  __syncthreads();  // From here on shared memory is free for other uses.
}

}  // namespace compute::cuda::many
