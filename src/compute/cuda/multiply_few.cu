// y = x · weightᵀ for 1 to 8 rows of x, as fast as memory gives the weights. x: {rows, cols}, weight: {n, cols} packed in
// tiles of 16 x 64, y: {rows, n}.
//
// A block of 8 or 16 warps makes 16 rows of y's columns, one row of tiles after another. Its warps take units of a row
// of tiles in turn; each has a ring in shared memory into which it copies its next units while it multiplies. Activations
// lie as B fragments in shared memory too; a warp's sums meet those of the others there, in the order of the warps. The
// grid is as large as can be resident at once, with the same number of rows of tiles to each block, so that all end
// together.
//
// Weights are constant, so the first units are asked for before the kernels in front have ended. What is left between
// two kernels is to read a few activations and multiply.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <type_traits>

#include "compute/cuda/few_tiles.h"
#include "compute/cuda/lanes.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/products.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

using few::FewTile;
using few::FewUnit;
using few::Sums;
using few::TileInput;
using few::UnitInput;
using few::UnitSums;

constexpr unsigned height = tile_rows;  // 32-bit forms for the kernels
constexpr unsigned width = tile_cols;
constexpr unsigned vector_cols = 8;                        // that a thread stages at once
constexpr unsigned tile_vectors = width / vector_cols;
constexpr unsigned norm_warps = 8;
constexpr unsigned norm_vectors = most_norm_cols / vector_cols / (norm_warps * 32);  // at most, to a thread
constexpr std::size_t staged_bytes = 72 * 1024;            // of activations at once, at most
constexpr std::size_t least_shared_bytes = 160 * 1024;     // that a block must be able to have
constexpr std::size_t wide_shared_bytes = 200 * 1024;      // for blocks of 16 warps

// How rows of x lie in shared memory, and where sums of warps meet.
template <bool single>
struct Staging {
  static constexpr unsigned sum_rows = single ? 1 : few_rows;

  std::uint32_t* fragments;  // [tile][2 halves of 32 columns][rows][4 t, exchanged by tile][2 steps][2 registers]
  float* sums;               // [tile][2 groups of 32 columns][sum_rows]
  float* partials;           // [2][streams][warps][rows][16]
  unsigned rows;

  __device__ Staging(std::byte* memory, unsigned tiles, unsigned rows_)
      : fragments(reinterpret_cast<std::uint32_t*>(memory)),
        sums(reinterpret_cast<float*>(memory + std::size_t{tiles} * 128 * rows_)),
        partials(sums + std::size_t{tiles} * 2 * sum_rows),
        rows(rows_) {}

  // Takes 8 columns of a row, vector `vector` of those staged. All lanes of a warp come here together; 4 neighbours have
  // 4 neighbouring vectors of the same row, or none of them is `valid`.
  __device__ void store(unsigned vector, unsigned row, const uint4& columns, bool valid) const {
    const std::uint32_t pairs[4] = {columns.x, columns.y, columns.z, columns.w};
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const __half2 pair = as_half2(pairs[i]);
      sum += __low2float(pair) + __high2float(pair);
    }
    sum += __shfl_xor_sync(~0U, sum, 1);
    sum += __shfl_xor_sync(~0U, sum, 2);
    if (!valid) return;
    const unsigned tile = vector / tile_vectors;
    const unsigned half = vector / 4;  // of all tiles
    std::uint32_t* at = fragments + (half * rows + row) * 16 + vector % 4;
#pragma unroll
    for (unsigned t = 0; t < 4; ++t) at[(t ^ tile % 4) * 4] = pairs[t];
    if (vector % 4 == 0) sums[half * sum_rows + row] = sum;
  }

  // Of a single row; `tile` is a multiple of 4.
  __device__ void load_unit(unsigned tile, unsigned lane, UnitInput& x) const {
    const unsigned g = lane / 4;
    const unsigned t = lane % 4;
    x.b = *reinterpret_cast<const uint4*>(fragments + (tile * 2 + g) * 16 + (t ^ g / 2) * 4);
    x.sum = *reinterpret_cast<const float2*>(sums + tile * 2 + 2 * t);
  }

  // Rows that do not exist repeat the last one: a column of B makes only its own column of D. tile_of_four: tile % 4.
  __device__ void load(unsigned tile, unsigned tile_of_four, unsigned lane, TileInput& x) const {
    const unsigned t = lane % 4;
    const unsigned row = single ? 0 : min(lane / 4, rows - 1);
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
      const std::uint32_t* at = fragments + ((tile * 2 + half) * rows + row) * 16 + (t ^ tile_of_four) * 4;
      const uint4 b = *reinterpret_cast<const uint4*>(at);
      x.b[2 * half][0] = b.x;
      x.b[2 * half][1] = b.y;
      x.b[2 * half + 1][0] = b.z;
      x.b[2 * half + 1][1] = b.w;
      const float* sum = sums + (tile * 2 + half) * sum_rows;
      if constexpr (single) {
        x.sum[half][0] = *sum;
        x.sum[half][1] = 0;
      } else {
        const float2 both = *reinterpret_cast<const float2*>(sum + 2 * t);
        x.sum[half][0] = both.x;
        x.sum[half][1] = both.y;
      }
    }
  }
};

struct HalfSource {
  const __half* x;
  unsigned stride;
  unsigned rows;

  struct Constants {};
  __device__ void prepare(Constants&) const {}

  template <bool single>
  __device__ void stage(const Staging<single>& to, const Constants&, unsigned first_tile, unsigned tiles) const {
    constexpr unsigned batch = 4;
    const unsigned vectors = tiles * tile_vectors;
    const unsigned total = vectors * rows;
    for (unsigned base = 0; base < total; base += batch * blockDim.x) {
      uint4 columns[batch];
#pragma unroll
      for (unsigned i = 0; i < batch; ++i) {
        const unsigned index = base + i * blockDim.x + threadIdx.x;
        const unsigned row = single ? 0 : index / vectors;
        columns[i] = uint4{};
        if (index < total) {
          columns[i] = *reinterpret_cast<const uint4*>(x + std::size_t{row} * stride + first_tile * width +
                                                       (index - row * vectors) * vector_cols);
        }
      }
#pragma unroll
      for (unsigned i = 0; i < batch; ++i) {
        if (base + i * blockDim.x >= total) break;
        const unsigned index = base + i * blockDim.x + threadIdx.x;
        const unsigned row = single ? 0 : index / vectors;
        to.store(index - row * vectors, row, columns[i], index < total);
      }
    }
  }
};

struct NormSource {
  const float* x;
  const float* gain;
  unsigned stride;
  unsigned rows;
  unsigned cols;
  float epsilon;

  // Columns beyond the last are zero.
  __device__ void load(unsigned row, unsigned vector, float (&v)[vector_cols]) const {
    const float* from = x + std::size_t{row} * stride;
    const unsigned col = vector * vector_cols;
    float4 a{};
    float4 b{};
    if (col < cols) a = *reinterpret_cast<const float4*>(from + col);
    if (col + 4 < cols) b = *reinterpret_cast<const float4*>(from + col + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
  }

  // The gains of the columns that a thread stages.
  struct Constants {
    float gain[norm_vectors][vector_cols];
  };
  __device__ void prepare(Constants& constants) const {
#pragma unroll
    for (unsigned i = 0; i < norm_vectors; ++i) {
      const unsigned col = (i * blockDim.x + threadIdx.x) * vector_cols;
      float4 a{};
      float4 b{};
      if (col < cols) a = *reinterpret_cast<const float4*>(gain + col);
      if (col + 4 < cols) b = *reinterpret_cast<const float4*>(gain + col + 4);
      float(&v)[vector_cols] = constants.gain[i];
      v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
      v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    }
  }

  // A row's sum of squares is made in the same order however many rows there are.
  template <bool single>
  __device__ void stage(const Staging<single>& to, const Constants& constants, unsigned, unsigned tiles) const {
    const unsigned vectors = tiles * tile_vectors;
    float v[norm_vectors][vector_cols];
#pragma unroll 2
    for (unsigned row = 0; row < (single ? 1 : rows); ++row) {
      float squares = 0;
#pragma unroll
      for (unsigned i = 0; i < norm_vectors; ++i) load(row, i * blockDim.x + threadIdx.x, v[i]);
#pragma unroll
      for (unsigned i = 0; i < norm_vectors; ++i) {
#pragma unroll
        for (unsigned col = 0; col < vector_cols; ++col) squares += v[i][col] * v[i][col];
      }
#pragma unroll
      for (int bits = 16; bits > 0; bits /= 2) squares += __shfl_xor_sync(~0U, squares, bits);
      if (threadIdx.x % 32 == 0) to.partials[row * norm_warps + threadIdx.x / 32] = squares;
    }
    __syncthreads();
#pragma unroll 1
    for (unsigned row = 0; row < (single ? 1 : rows); ++row) {
      float sum = 0;
#pragma unroll
      for (unsigned warp = 0; warp < norm_warps; ++warp) sum += to.partials[row * norm_warps + warp];
      const float scale = 1.0F / sqrtf(sum / static_cast<float>(cols) + epsilon);
#pragma unroll
      for (unsigned i = 0; i < norm_vectors; ++i) {
        if (i * blockDim.x >= vectors) break;
        const unsigned vector = i * blockDim.x + threadIdx.x;
        if constexpr (!single) load(row, vector, v[i]);
        const auto pair = [&](unsigned col) {
          const float(&g)[vector_cols] = constants.gain[i];
          return as_bits(__floats2half2_rn(v[i][col] * scale * g[col], v[i][col + 1] * scale * g[col + 1]));
        };
        to.store(vector, row, uint4{pair(0), pair(2), pair(4), pair(6)}, vector < vectors);
      }
    }
  }
};

// Tiles that a warp copies, and waits for, together: neighbours in a row of tiles, of Q4 and Q6 those of 256 columns,
// which are a block of Q4_K or Q6_K, so that there is no part of a unit.
constexpr unsigned unit_of(Format first, Format second) {
  return first == Format::F16 || second == Format::F16 ? 1 : few::unit_tiles;
}

// Bytes of a block's ring of `slots` such units to a warp.
constexpr std::size_t ring_bytes(unsigned warps, unsigned slots, Format format) {
  return std::size_t{warps} * slots * unit_of(format, format) * tile_bytes(format);
}
constexpr std::size_t ring_bytes(unsigned warps, unsigned slots, Format first, Format second) {
  return std::size_t{warps} * slots * unit_of(first, second) * (tile_bytes(first) + tile_bytes(second));
}
constexpr unsigned long_slots = 2;  // of a warp that multiplies many units; one that multiplies a single one has 1

// The shape of the work, the same for all blocks of a launch.
struct Shape {
  unsigned tiles;         // in a row of tiles
  unsigned staged_tiles;  // of activations at once: all, or a multiple of what the warps copy together
  unsigned ring_offset;   // of the ring in shared memory
};

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

// Multiplies rows of tiles [begin, end) of one matrix, or of two of the same shape. output.before(row of tiles) may read
// what will be needed to store it; output.store(row of tiles, totals, that) is called by one thread for each number.
template <bool single, unsigned warps, unsigned slots, bool two, Format first_format, Format second_format,
          typename Source, typename Output>
__device__ void multiply_row_tiles(const Source& source, const Shape& shape, const std::byte* first_data,
                                   const std::byte* second_data, unsigned begin, unsigned end, const Output& output) {
  constexpr unsigned first_bytes = tile_bytes(first_format);
  constexpr unsigned second_bytes = two ? tile_bytes(second_format) : 0;
  constexpr unsigned unit_tiles = unit_of(first_format, two ? second_format : first_format);
  constexpr unsigned slot_bytes = unit_tiles * (first_bytes + second_bytes);
  const unsigned lane = threadIdx.x % 32;
  const unsigned warp = threadIdx.x / 32;
  const unsigned row_count = end - begin;
  const unsigned units = (shape.tiles + unit_tiles - 1) / unit_tiles;
  std::byte* const ring = ptx::dynamic_shared() + shape.ring_offset + warp * slots * slot_bytes;
  const std::uint32_t ring_address = ptx::shared_address(ring);

  Place next{.unit = warp};  // to be copied
  const auto copy = [&](unsigned slot) {
    if (next.row < row_count && next.unit < units) {
      const unsigned tile = next.unit * unit_tiles;
      const std::size_t index = std::size_t{begin + next.row} * shape.tiles + tile;
      const std::uint32_t to = ring_address + slot * slot_bytes;
      copy_unit<unit_tiles * first_bytes>(to, first_data + index * first_bytes, lane);
      if constexpr (two) {
        copy_unit<unit_tiles * second_bytes>(to + unit_tiles * first_bytes, second_data + index * second_bytes, lane);
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
  constexpr bool by_units = single && unit_tiles == few::unit_tiles;
  using Total = std::conditional_t<by_units, UnitSums, Sums>;
  unsigned slot = 0;
  for (unsigned r = 0; r < row_count; ++r) {
    const float before = output.before(begin + r);
    Total first_sums;
    Total second_sums;
    unsigned staged = 0;  // the first tile whose activations are staged
    for (unsigned round_tile = 0; round_tile < shape.tiles; round_tile += warps * unit_tiles) {
      if (round_tile % shape.staged_tiles == 0 && (r == 0 || shape.staged_tiles < shape.tiles)) {
        staged = round_tile;
        if (r > 0 || round_tile > 0) __syncthreads();
        source.stage(staging, constants, staged, min(shape.staged_tiles, shape.tiles - staged));
        // Where each thread has staged 8 columns of a single row, a warp has staged the unit that it multiplies. A norm's
        // sums, which all warps read, lie where the first row of tiles' partial sums will.
        static_assert(32 * vector_cols == few::unit_tiles * width);
        if (by_units && std::is_same_v<Source, HalfSource> && shape.tiles <= warps * unit_tiles) {
          __syncwarp();
        } else {
          __syncthreads();
        }
      }
      const unsigned tile = round_tile + warp * unit_tiles;
      if (tile >= shape.tiles) continue;
      ptx::copy_async_wait<slots - 1>();
      __syncwarp();
      const std::byte* from = ring + slot * slot_bytes;
      if constexpr (by_units) {
        UnitInput x;
        staging.load_unit(tile - staged, lane, x);
        FewUnit<first_format>::multiply(from, lane, x, first_sums);
        if constexpr (two) FewUnit<second_format>::multiply(from + unit_tiles * first_bytes, lane, x, second_sums);
      } else {
#pragma unroll
        for (unsigned i = 0; i < unit_tiles; ++i) {
          TileInput x;
          staging.load(tile - staged + i, unit_tiles == 4 ? i : (tile - staged) % 4, lane, x);
          FewTile<first_format> first;
          first.load(from + i * first_bytes, lane);
          first.template multiply<single>(x, first_sums);
          if constexpr (two) {
            FewTile<second_format> second;
            second.load(from + unit_tiles * first_bytes + i * second_bytes, lane);
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

// Blocks for which a multiprocessor must have registers: 128 to a thread, so that instructions of several tiles overlap; 80
// for several rows, which are rarer.
constexpr unsigned resident_blocks(bool single, unsigned warps) { return (single ? 16 : 24) / warps; }

// One product of a launch.
struct Job {
  const std::byte* data;
  float* y;
  unsigned stride;
  unsigned rows;  // of the weight
  unsigned first_block;
  Format format;
  bool add;
};
constexpr unsigned max_jobs = 8;
struct Jobs {
  Job job[max_jobs];
  unsigned count;
  unsigned block_row_tiles;
};

struct ProductOutput {
  const Job& job;
  float scale;
  unsigned rows;  // of activations

  // Where this thread's number of a row of tiles goes; nullptr if it has none.
  __device__ float* place(unsigned row_tile) const {
    const unsigned activation = threadIdx.x / height;
    const unsigned row = row_tile * height + threadIdx.x % height;
    return activation < rows && row < job.rows ? job.y + std::size_t{activation} * job.stride + row : nullptr;
  }

  __device__ float before(unsigned row_tile) const {
    const float* at = job.add ? place(row_tile) : nullptr;
    return at != nullptr ? *at : 0.0F;
  }
  __device__ void store(unsigned row_tile, const float (&total)[1], float before) const {
    float* at = place(row_tile);
    if (at != nullptr) *at = job.add ? before + scale * total[0] : scale * total[0];
  }
};

template <bool single, unsigned warps, unsigned slots, typename Source>
__global__ void __launch_bounds__(warps * 32, resident_blocks(single, warps))
    multiply_kernel(Source source, Shape shape, Jobs jobs, float scale) {
  ptx::launch_dependents();
  unsigned index = 0;
  while (index + 1 < jobs.count && blockIdx.x >= jobs.job[index + 1].first_block) ++index;
  const Job job = jobs.job[index];
  const unsigned begin = (blockIdx.x - job.first_block) * jobs.block_row_tiles;
  const unsigned row_tiles = (job.rows + height - 1) / height;
  const unsigned end = min(begin + jobs.block_row_tiles, row_tiles);
  const ProductOutput output{job, scale, source.rows};
  const auto run = [&]<Format format>() {
    multiply_row_tiles<single, warps, slots, false, format, format>(source, shape, job.data, nullptr, begin, end, output);
  };
  switch (job.format) {
    case Format::Q4: run.template operator()<Format::Q4>(); break;
    case Format::Q6: run.template operator()<Format::Q6>(); break;
    default: run.template operator()<Format::F16>(); break;
  }
}

struct SwigluOutput {
  __half* hidden;
  unsigned stride;
  unsigned weight_rows;
  unsigned rows;  // of activations

  __device__ float before(unsigned) const { return 0; }
  __device__ void store(unsigned row_tile, const float (&totals)[2], float) const {
    const unsigned activation = threadIdx.x / height;
    const unsigned row = row_tile * height + threadIdx.x % height;
    const float gate = totals[0];
    const float value = gate / (1.0F + expf(-gate)) * totals[1] * (1.0F / hidden_divisor);
    hidden[std::size_t{activation} * stride + row] = __float2half(row < weight_rows ? value : 0.0F);
  }
};

template <bool single, Format gate_format, Format up_format>
__global__ void __launch_bounds__(norm_warps * 32, resident_blocks(single, norm_warps))
    swiglu_kernel(NormSource source, Shape shape, const std::byte* gate, const std::byte* up, unsigned row_tiles,
                  unsigned block_row_tiles, SwigluOutput output) {
  ptx::launch_dependents();
  const unsigned begin = blockIdx.x * block_row_tiles;
  multiply_row_tiles<single, norm_warps, long_slots, true, gate_format, up_format>(
      source, shape, gate, up, begin, min(begin + block_row_tiles, row_tiles), output);
}

struct Grid {
  Shape shape;
  unsigned block_row_tiles;
  std::size_t shared;
};

// Shared memory that a block can have.
std::size_t shared_limit() {
  int device = 0;
  int bytes = 0;
  check(cudaGetDevice(&device), "current device");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "shared memory");
  return static_cast<std::size_t>(bytes) - 1024;  // of which the system takes one
}

// `row_tiles`: of all products together; `streams`: of tiles in a block; `ring`: bytes of its ring.
Grid plan(std::size_t cols, std::size_t rows, std::size_t row_tiles, unsigned warps, unsigned streams,
          std::size_t ring) {
  const auto tiles = static_cast<unsigned>((cols + tile_cols - 1) / tile_cols);
  const std::size_t tile_staged = 128 * rows + 2 * sizeof(float) * (rows == 1 ? 1 : few_rows);
  const std::size_t partials = 2 * streams * warps * rows * tile_rows * sizeof(float);
  const std::size_t fit = std::min(staged_bytes, shared_limit() - ring - partials) / tile_staged;
  Grid grid{};
  grid.shape.tiles = tiles;
  grid.shape.staged_tiles = tiles <= fit ? tiles : static_cast<unsigned>(fit / (few::unit_tiles * warps) * few::unit_tiles * warps);
  grid.shape.ring_offset = static_cast<unsigned>(round_up(grid.shape.staged_tiles * tile_staged + partials, 16));
  // Half of each multiprocessor is left to the kernel that comes after.
  const std::size_t resident = std::size_t{multiprocessors()} * 16 / warps;
  grid.block_row_tiles = static_cast<unsigned>((row_tiles + resident - 1) / resident);
  grid.shared = grid.shape.ring_offset + ring;
  return grid;
}

std::size_t row_tiles_of(const PackedMatrix& weight) { return (weight.rows + tile_rows - 1) / tile_rows; }

template <typename Source>
void multiply(cudaStream_t stream, const Source& source, std::span<const OutputProduct> products, float scale) {
  constexpr bool halves = std::is_same_v<Source, HalfSource>;
  while (!products.empty()) {
    const auto batch = products.first(std::min<std::size_t>(products.size(), max_jobs));
    products = products.subspan(batch.size());
    const std::size_t cols = batch[0].weight.cols;
    std::size_t row_tiles = 0;
    for (const OutputProduct& product : batch) row_tiles += row_tiles_of(product.weight);
    // Long rows of few matrices: more warps to a row, or too few bytes would be on their way.
    bool wide = false;
    if constexpr (halves) {
      wide = cols >= 64 * tile_cols && row_tiles < 2 * std::size_t{multiprocessors()} &&
             shared_limit() >= wide_shared_bytes;
    }
    const unsigned warps = wide ? 16 : 8;
    std::size_t ring = 0;
    // A row of tiles to each block, and a unit to each warp.
    const bool brief = !wide && row_tiles <= 2 * std::size_t{multiprocessors()} && cols <= warps * few::unit_tiles * tile_cols;
    for (const OutputProduct& product : batch) {
      ring = std::max(ring, ring_bytes(warps, brief ? 1 : long_slots, product.weight.format));
    }
    const Grid grid = plan(cols, source.rows, row_tiles, warps, 1, ring);
    Jobs jobs{};
    jobs.block_row_tiles = grid.block_row_tiles;
    unsigned blocks = 0;
    for (const OutputProduct& product : batch) {
      jobs.job[jobs.count++] = {product.weight.data,
                                product.y,
                                static_cast<unsigned>(product.stride),
                                static_cast<unsigned>(product.weight.rows),
                                blocks,
                                product.weight.format,
                                product.add};
      blocks += static_cast<unsigned>((row_tiles_of(product.weight) + grid.block_row_tiles - 1) / grid.block_row_tiles);
    }
    const auto start = [&](auto* kernel) {
      launch(stream, dim3(blocks), dim3(warps * 32), grid.shared, kernel, source, grid.shape, jobs, scale);
    };
    if constexpr (halves) {
      if (wide) {
        start(source.rows == 1 ? multiply_kernel<true, 16, long_slots, Source>
                               : multiply_kernel<false, 16, long_slots, Source>);
        continue;
      }
    }
    if (brief) {
      start(source.rows == 1 ? multiply_kernel<true, 8, 1, Source> : multiply_kernel<false, 8, 1, Source>);
    } else {
      start(source.rows == 1 ? multiply_kernel<true, 8, long_slots, Source>
                             : multiply_kernel<false, 8, long_slots, Source>);
    }
  }
}

NormSource norm_source(const NormInput& x) {
  if (x.cols > norm_vectors * norm_warps * 32 * vector_cols || x.cols % 4 != 0 || x.stride % 4 != 0) {
    throw base::Error("a norm made with a product takes at most 2,048 columns, in fours",
                      std::to_string(x.cols) + ", rows " + std::to_string(x.stride) + " apart");
  }
  return {.x = x.x,
          .gain = x.gain,
          .stride = static_cast<unsigned>(x.stride),
          .rows = static_cast<unsigned>(x.rows),
          .cols = static_cast<unsigned>(x.cols),
          .epsilon = x.epsilon};
}

template <Format gate_format, Format up_format>
auto swiglu_kernel_for(bool single) {
  return single ? swiglu_kernel<true, gate_format, up_format> : swiglu_kernel<false, gate_format, up_format>;
}

template <Format gate_format>
auto swiglu_kernel_for(Format up_format, bool single) {
  switch (up_format) {
    case Format::Q4: return swiglu_kernel_for<gate_format, Format::Q4>(single);
    case Format::Q6: return swiglu_kernel_for<gate_format, Format::Q6>(single);
    default: return swiglu_kernel_for<gate_format, Format::F16>(single);
  }
}

auto swiglu_kernel_for(Format gate_format, Format up_format, bool single) {
  switch (gate_format) {
    case Format::Q4: return swiglu_kernel_for<Format::Q4>(up_format, single);
    case Format::Q6: return swiglu_kernel_for<Format::Q6>(up_format, single);
    default: return swiglu_kernel_for<Format::F16>(up_format, single);
  }
}

}  // namespace

bool can_multiply_few() { return shared_limit() >= least_shared_bytes; }

void multiply_few(cudaStream_t stream, const Input& x, std::span<const OutputProduct> products, float scale) {
  const HalfSource source{x.halves, static_cast<unsigned>(x.stride), static_cast<unsigned>(x.rows)};
  multiply(stream, source, products, scale);
}

void multiply_few(cudaStream_t stream, const NormInput& x, std::span<const OutputProduct> products) {
  multiply(stream, norm_source(x), products, 1.0F);
}

void swiglu_few(cudaStream_t stream, const NormInput& x, const PackedMatrix& gate, const PackedMatrix& up, __half* hidden,
                std::size_t stride) {
  const std::size_t row_tiles = gate.padded_rows() / tile_rows;
  const std::size_t ring = ring_bytes(norm_warps, long_slots, gate.format, up.format);
  const Grid grid = plan(x.cols, x.rows, row_tiles, norm_warps, 2, ring);
  const auto blocks = static_cast<unsigned>((row_tiles + grid.block_row_tiles - 1) / grid.block_row_tiles);
  const SwigluOutput output{hidden, static_cast<unsigned>(stride), static_cast<unsigned>(gate.rows),
                            static_cast<unsigned>(x.rows)};
  launch(stream, dim3(blocks), dim3(norm_warps * 32), grid.shared, swiglu_kernel_for(gate.format, up.format, x.rows == 1),
         norm_source(x), grid.shape, gate.data, up.data, static_cast<unsigned>(row_tiles), grid.block_row_tiles, output);
}

}  // namespace compute::cuda
