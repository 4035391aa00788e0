// y = x · Wᵀ for many rows of x, computed as yᵀ = W · xᵀ on the matrix units: the packed weights are the A operand,
// taken apart in registers just before they are used, and the activations, halves, the B operand in shared memory.
//
// A block of two warpgroups computes 128 · MT weight rows for N rows of activations; a warpgroup has MT (1 or 2) strips
// of 64 weight rows, warp w of it tile row w of each strip. For SwiGLU one warpgroup has gate's rows and the other
// up's. It goes along the columns in steps of 64, one tile, whose weights and activations cp.async brings some steps
// ahead. Within a step the products of four chunks of 16 columns run asynchronously, while the A fragments of a later
// chunk are made in other registers.
//
// Cost for a step, MT = 2 and N = 128 (Q4): matrix units 4 · 4 · 64 = 1,024 cycles; 202 instructions of each of two
// warps of a scheduler, 104 of them to unpack, 404 of 1,024 issue slots (Q6: 252); from L2 16 KiB of activations and 10
// KiB of weights, 26 bytes a cycle. Weights being a third as many bytes as activations, tiles are tall: with 128 weight
// rows for 256 of activations it would be 37. Where activations are few the weights' way from memory is what costs, and
// the grid must fill the GPU to ask for enough of them at once: then the columns are cut among blocks, whose partial
// sums the last to arrive adds in fixed order, so that the result is the same at every run.
#include "compute/cuda/multiply_many.h"

#include <algorithm>

#include "base/error.h"
#include "compute/cuda/fragments.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/products.h"

namespace compute::cuda {

constexpr unsigned strip_rows = 64;

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
};

namespace {

constexpr unsigned threads = 256;
constexpr unsigned group_threads = 128;  // of a warpgroup
constexpr unsigned max_matrices = 4;
constexpr unsigned prefetch_steps = 8;
constexpr unsigned raster_tiles = 16;  // activation tiles that pass over the weights together
constexpr unsigned max_split_blocks = 264;
constexpr unsigned max_partial_bytes = 2 * strip_rows * 2 * 128 * sizeof(float);  // of a block, MT = 2 and N = 128

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

template <typename S>
__device__ inline Part find_part(const ManyParameters& p, unsigned block) {
  const unsigned group = threadIdx.x / group_threads;
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

// A value that the compiler takes for another one.
__device__ inline unsigned renewed(unsigned value) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+r"(value));
#endif
  return value;
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
      tiles[m].load(memory + slot * S::stage_bytes + tile_at + m * S::slot_tile_bytes,
                                                 lane);
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
          const uint4 v = *reinterpret_cast<const uint4*>(memory + slot * S::stage_bytes + tile_at + m * S::slot_tile_bytes +
                                                     chunk % 4 * 512 + lane * 16);
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

// Adds up the sums of all blocks that have a part of this tile's columns. False in all of them but one, the last.
template <typename S>
__device__ inline bool reduce_splits(const ManyParameters& p, const Part& part, float (&sums)[S::strips][S::sums]) {
  constexpr unsigned quads = S::sums / 4;
  const auto place = [&](unsigned split) {
    return reinterpret_cast<float4*>(p.partial) +
           (std::size_t{part.tile} * p.splits + split) * S::strips * quads * threads + threadIdx.x;
  };
  const unsigned valid = p.x_rows - part.first_activation;
  float4* mine = place(part.split);
#pragma unroll
  for (unsigned m = 0; m < S::strips; ++m) {
#pragma unroll
    for (unsigned j = 0; j < quads; ++j) {
      if (8 * j >= valid) continue;
      mine[(m * quads + j) * threads] =
          make_float4(sums[m][4 * j], sums[m][4 * j + 1], sums[m][4 * j + 2], sums[m][4 * j + 3]);
      for (unsigned i = 0; i < 4; ++i) sums[m][4 * j + i] = 0;
    }
  }
  __threadfence();
  __syncthreads();
  auto* last = reinterpret_cast<unsigned*>(ptx::dynamic_shared());
  // Goes back to zero with the last arrival.
  if (threadIdx.x == 0) *last = atomicInc(p.arrived + part.tile, p.splits - 1) == p.splits - 1 ? 1 : 0;
  __syncthreads();
  if (*last == 0) return false;
  __threadfence();
  [[maybe_unused]] constexpr unsigned at_once = S::strips * S::sums <= 32 ? 2 : 1;  // as registers allow
#pragma unroll at_once
  for (unsigned split = 0; split < p.splits; ++split) {
    const float4* from = place(split);
#pragma unroll
    for (unsigned m = 0; m < S::strips; ++m) {
#pragma unroll
      for (unsigned j = 0; j < quads; ++j) {
        if (8 * j >= valid) continue;
        const float4 v = __ldcg(from + (m * quads + j) * threads);
        sums[m][4 * j] += v.x;
        sums[m][4 * j + 1] += v.y;
        sums[m][4 * j + 2] += v.z;
        sums[m][4 * j + 3] += v.w;
      }
    }
  }
  __syncthreads();  // `last` has been read.
  return true;
}

// Calls store(activation row, weight row of the strip, sum's index) for each of a thread's sums of a strip.
template <unsigned count, typename Store>
__device__ inline void each_sum(Store store) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned row = threadIdx.x / 32 % 4 * 16 + lane / 4;
#pragma unroll
  for (unsigned i = 0; i < count; ++i) store(i / 4 * 8 + lane % 4 * 2 + i % 2, row + i / 2 % 2 * 8, i);
}

// A strip goes through shared memory, [activation row][weight row], so that neighbouring threads store neighbours. The
// rows' distances there leave no two threads of a warp with the same bank.
template <typename S>
__device__ inline void store_floats(const ManyParameters& p, const Part& part,
                                    const float (&sums)[S::strips][S::sums]) {
  constexpr unsigned distance = strip_rows + 4;
  const ManyMatrix& matrix = p.matrices[part.matrix];
  const unsigned thread = threadIdx.x % group_threads;
  float* staged = reinterpret_cast<float*>(ptx::dynamic_shared()) + threadIdx.x / group_threads * S::rows * distance;
  const bool aligned = (reinterpret_cast<std::uintptr_t>(matrix.y) | matrix.stride * sizeof(float)) % 16 == 0;
  const unsigned valid = min(S::rows, p.x_rows - part.first_activation);
#pragma unroll
  for (unsigned m = 0; m < S::strips; ++m) {
    if (m > 0) __syncthreads();
    each_sum<S::sums>([&](unsigned activation, unsigned row, unsigned i) {
      staged[activation * distance + row] = sums[m][i] * p.scale;
    });
    __syncthreads();
    for (unsigned i = thread; i < valid * (strip_rows / 4); i += group_threads) {
      const unsigned activation = i / (strip_rows / 4);
      const unsigned row = part.first_row + m * strip_rows + i % (strip_rows / 4) * 4;
      float4 v = *reinterpret_cast<const float4*>(staged + activation * distance + i % (strip_rows / 4) * 4);
      float* y = matrix.y + (part.first_activation + activation) * matrix.stride + row;
      if (aligned && row + 4 <= matrix.rows) {
        if (matrix.add) {
          const float4 old = *reinterpret_cast<const float4*>(y);
          v = make_float4(old.x + v.x, old.y + v.y, old.z + v.z, old.w + v.w);
        }
        *reinterpret_cast<float4*>(y) = v;
      } else {
        const float values[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (unsigned r = 0; r < 4; ++r) {
          if (row + r < matrix.rows) y[r] = matrix.add ? y[r] + values[r] : values[r];
        }
      }
    }
  }
}

// The warpgroup of gate finishes the first half of the sums and that of up the second: each gives the other what it
// needs through shared memory.
template <typename S>
__device__ inline void store_hidden(const ManyParameters& p, const Part& part,
                                    const float (&sums)[S::strips][S::sums]) {
  constexpr unsigned count = S::strips * S::sums / 2;
  constexpr unsigned activations = S::strips == 2 ? S::rows : S::rows / 2;
  constexpr unsigned distance = strip_rows + 8;
  const unsigned group = threadIdx.x / group_threads;
  const unsigned thread = threadIdx.x % group_threads;
  float* exchanged = reinterpret_cast<float*>(ptx::dynamic_shared());
  const auto sum = [&](unsigned i) { return sums[i / S::sums][i % S::sums]; };
#pragma unroll
  for (unsigned i = 0; i < count; ++i) {
    exchanged[(group * count + i) * group_threads + thread] = group == 0 ? sum(count + i) : sum(i);
  }
  __syncthreads();
  __half values[count];
#pragma unroll
  for (unsigned i = 0; i < count; ++i) {
    const float own = group == 0 ? sum(i) : sum(count + i);
    const float other = exchanged[((1 - group) * count + i) * group_threads + thread];
    const float gate = group == 0 ? own : other;
    const float up = group == 0 ? other : own;
    values[i] = __float2half(gate / (1 + __expf(-gate)) * up * (1 / hidden_divisor));
  }
  __syncthreads();
  __half* staged = reinterpret_cast<__half*>(ptx::dynamic_shared()) + group * activations * distance;
  each_sum<count>(
      [&](unsigned activation, unsigned row, unsigned i) { staged[activation * distance + row] = values[i]; });
  __syncthreads();
  const unsigned first_row = part.first_row + (S::strips == 2 ? group * strip_rows : 0);
  if (first_row >= p.matrices[0].padded_rows) return;
  const unsigned first_activation = part.first_activation + (S::strips == 2 ? 0 : group * activations);
  for (unsigned i = thread; i < activations * (strip_rows / 8); i += group_threads) {
    const unsigned activation = i / (strip_rows / 8);
    if (first_activation + activation >= p.x_rows) break;
    *reinterpret_cast<uint4*>(p.hidden + (first_activation + activation) * p.hidden_stride + first_row +
                              i % (strip_rows / 8) * 8) =
        *reinterpret_cast<const uint4*>(staged + activation * distance + i % (strip_rows / 8) * 8);
  }
}

template <typename S>
__global__ void __launch_bounds__(threads, S::blocks) multiply_many_kernel(const __grid_constant__ ManyParameters p) {
// Code for one generation of GPUs has only the kernels that it can run.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr bool compiled = true;
#else
  constexpr bool compiled = S::instructions == Instructions::Warp;
#endif
  if constexpr (compiled) {
    ptx::launch_dependents();
    float sums[S::strips][S::sums];
    {
      const Part part = find_part<S>(p, blockIdx.x);
      const Format format = p.matrices[part.matrix].format;
      if (format == Format::Q4) {
        multiply_tiles<S, Format::Q4>(p, part, sums);
      } else if (format == Format::Q6 || !S::halves) {
        multiply_tiles<S, Format::Q6>(p, part, sums);
      } else if constexpr (S::halves) {
        multiply_tiles<S, Format::F16>(p, part, sums);
      }
    }
    // Found anew, so as not to take registers from the loop.
    const Part part = find_part<S>(p, renewed(blockIdx.x));
    if (p.splits > 1 && !reduce_splits<S>(p, part, sums)) return;
    if (p.hidden != nullptr) {
      store_hidden<S>(p, part, sums);
    } else {
      store_floats<S>(p, part, sums);
    }
  }
}

constexpr unsigned divide_up(std::size_t value, std::size_t by) { return static_cast<unsigned>((value + by - 1) / by); }

// Cuts the work into tiles and starts the kernel.
template <typename S>
void start(cudaStream_t stream, ManyParameters p, unsigned splits) {
  p.row_tiles = 0;
  if (p.hidden != nullptr) {
    p.row_tiles = divide_up(p.matrices[0].rows, S::block_rows / 2);
  } else {
    for (unsigned i = 0; i < p.matrix_count; ++i) {
      p.matrices[i].first_tile = p.row_tiles;
      p.row_tiles += divide_up(p.matrices[i].rows, S::block_rows);
    }
  }
  p.activation_tiles = divide_up(p.x_rows, S::rows);
  p.splits = splits;
  p.prefetch = p.activation_tiles == 1;
  const unsigned blocks = p.row_tiles * p.activation_tiles * splits;
  launch(stream, dim3(blocks), dim3(threads), S::shared_bytes, multiply_many_kernel<S>, p);
}

unsigned count_tiles(const ManyParameters& p, unsigned rows, unsigned strips) {
  const unsigned block_rows = 2 * strips * strip_rows;
  unsigned tiles = 0;
  if (p.hidden != nullptr) {
    tiles = divide_up(p.matrices[0].rows, block_rows / 2);
  } else {
    for (unsigned i = 0; i < p.matrix_count; ++i) tiles += divide_up(p.matrices[i].rows, block_rows);
  }
  return tiles * divide_up(p.x_rows, rows);
}

bool can_split(const ManyParameters& p, unsigned tiles, unsigned splits) {
  return splits == 1 || (p.partial != nullptr && splits <= p.steps && tiles * splits <= max_split_blocks);
}

// How to cut the work so that it takes the fewest cycles, by a model of an H200's: matrix units, bytes from L2 at 32 a
// cycle, or what a step costs at least; for partial sums a wait and 64 bytes a cycle. All of it constants, so that
// every run is cut alike.
ManyPlan make_plan(const ManyParameters& p, unsigned rows, unsigned max_strips) {
  constexpr unsigned multiprocessors = 132;
  std::size_t bytes = 0;
  for (unsigned i = 0; i < p.matrix_count; ++i) bytes = std::max(bytes, tile_bytes(p.matrices[i].format));
  ManyPlan best;
  double best_cost = 0;
  for (unsigned strips = max_strips; strips >= 1; --strips) {
    const unsigned tiles = count_tiles(p, rows, strips);
    const double step = std::max(
        {4.0 * strips * rows, (rows * 128.0 + 8.0 * strips * static_cast<double>(bytes)) / 32, 250.0 + 120 * strips});
    for (unsigned splits = 1; splits <= 16 && can_split(p, tiles, splits); ++splits) {
      const double partial_bytes = 4.0 * splits * 2 * strips * strip_rows * std::min(rows, p.x_rows);
      const double reduction = splits == 1 ? 0 : 2000 + partial_bytes / 64;
      const double cost =
          divide_up(std::size_t{tiles} * splits, multiprocessors) * divide_up(p.steps, splits) * step + reduction;
      if (best_cost == 0 || cost < best_cost) {
        best_cost = cost;
        best = {rows, strips, splits};
      }
    }
  }
  return best;
}

void multiply(cudaStream_t stream, const ManyParameters& p, Instructions instructions, ManyPlan plan) {
  if (p.x_rows == 0) return;
  const bool halves = std::any_of(p.matrices, p.matrices + p.matrix_count,
                                  [](const ManyMatrix& matrix) { return matrix.format == Format::F16; });
  if (instructions == Instructions::Warp) {
    return start<ManyShape<64, 1, 4, 1, 2, true, Instructions::Warp>>(stream, p, make_plan(p, 64, 1).splits);
  }
  if (plan.rows == 0) plan = make_plan(p, p.x_rows <= 32 ? 32 : p.x_rows <= 64 ? 64 : 128, halves ? 1 : 2);
  if (halves) plan.strips = 1;
  if (!can_split(p, count_tiles(p, plan.rows, plan.strips), plan.splits)) {
    throw base::Error("product", "cannot be cut as asked for");
  }
  if (plan.rows == 32) {
    if (halves) return start<ManyShape<32, 1, 5, 2, 4, true>>(stream, p, plan.splits);
    if (plan.strips == 1) return start<ManyShape<32, 1, 8, 2, 4, false>>(stream, p, plan.splits);
    return start<ManyShape<32, 2, 6, 2, 4, false>>(stream, p, plan.splits);
  }
  if (plan.rows == 64) {
    if (halves) return start<ManyShape<64, 1, 4, 2, 4, true>>(stream, p, plan.splits);
    if (plan.strips == 1) return start<ManyShape<64, 1, 7, 2, 4, false>>(stream, p, plan.splits);
    return start<ManyShape<64, 2, 5, 2, 2, false>>(stream, p, plan.splits);
  }
  if (halves) return start<ManyShape<128, 1, 6, 1, 4, true>>(stream, p, plan.splits);
  if (plan.strips == 1) return start<ManyShape<128, 1, 4, 2, 4, false>>(stream, p, plan.splits);
  return start<ManyShape<128, 2, 6, 1, 4, false>>(stream, p, plan.splits);
}

ManyParameters parameters_of(const Input& x, float scale, void* workspace) {
  ManyParameters p{};
  if (x.rows * x.stride >= std::size_t{1} << 32) throw base::Error("product", "too many rows at once");
  p.x = x.halves;
  p.x_stride = static_cast<unsigned>(x.stride);
  p.x_rows = static_cast<unsigned>(x.rows);
  p.scale = scale;
  if (workspace != nullptr) {
    p.arrived = static_cast<unsigned*>(workspace);
    p.partial = reinterpret_cast<float*>(static_cast<float4*>(workspace) + max_split_blocks);
  }
  return p;
}

ManyMatrix matrix_of(const PackedMatrix& weight) {
  if (weight.format == Format::F32) throw base::Error("product", "a weight in floats has no tiles");
  ManyMatrix matrix{};
  matrix.data = weight.data;
  matrix.format = weight.format;
  matrix.rows = static_cast<unsigned>(weight.rows);
  matrix.padded_rows = static_cast<unsigned>(weight.padded_rows());
  return matrix;
}

}  // namespace

std::size_t many_workspace_bytes() { return max_split_blocks * (sizeof(float4) + std::size_t{max_partial_bytes}); }

void multiply_many(cudaStream_t stream, const Input& x, std::span<const OutputProduct> products, float scale,
                   void* workspace, Instructions instructions, ManyPlan plan) {
  for (std::size_t first = 0; first < products.size(); first += max_matrices) {
    ManyParameters p = parameters_of(x, scale, workspace);
    for (const OutputProduct& product :
         products.subspan(first, std::min<std::size_t>(max_matrices, products.size() - first))) {
      ManyMatrix& matrix = p.matrices[p.matrix_count++];
      matrix = matrix_of(product.weight);
      matrix.y = product.y;
      matrix.stride = product.stride;
      matrix.add = product.add;
      p.steps = divide_up(product.weight.cols, tile_cols);
    }
    multiply(stream, p, instructions, plan);
  }
}

void swiglu_many(cudaStream_t stream, const Input& x, const PackedMatrix& gate, const PackedMatrix& up, __half* hidden,
                 std::size_t stride, void* workspace, Instructions instructions, ManyPlan plan) {
  ManyParameters p = parameters_of(x, 1, workspace);
  p.hidden = hidden;
  p.hidden_stride = stride;
  p.matrix_count = 2;
  p.matrices[0] = matrix_of(gate);
  p.matrices[1] = matrix_of(up);
  p.steps = divide_up(gate.cols, tile_cols);
  multiply(stream, p, instructions, plan);
}

Instructions matrix_instructions() {
#ifdef SMOLLM3_EMULATE_CUDA
  return Instructions::Warpgroup;
#else
  static const int major = [] {
    int device = 0;
    int value = 0;
    check(cudaGetDevice(&device), "device");
    check(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, device), "compute capability");
    return value;
  }();
  return major == 9 ? Instructions::Warpgroup : Instructions::Warp;
#endif
}

void multiply_many(cudaStream_t stream, const Input& x, std::span<const OutputProduct> products, float scale,
                   void* workspace) {
  multiply_many(stream, x, products, scale, workspace, matrix_instructions());
}

void swiglu_many(cudaStream_t stream, const Input& x, const PackedMatrix& gate, const PackedMatrix& up, __half* hidden,
                 std::size_t stride, void* workspace) {
  swiglu_many(stream, x, gate, up, hidden, stride, workspace, matrix_instructions());
}

}  // namespace compute::cuda
