// Attention of prompts: tiles of 128 consecutive positions of a sequence, each against all positions before it.
//
// What counts is matrix products, 4 · head_size operations for each (query, key) pair, on the tensor cores. A block
// takes one tile and one query head, so 4.2 million operations follow on 32 KiB of a page (head_size 128) from the L2
// cache: 350 TFLOP/s need 2.7 TB/s of it. Blocks of the heads that share keys and values run side by side and find each
// other's pages there.
//
// Each of the two warpgroups has 64 rows. Queries, scaled, and the weights of values are first operands in registers;
// keys [64 positions][head_size] and transposed values [head_size][64 positions] are second operands as they lie in the
// page, in a ring in shared memory. Hopper's products of a warpgroup are asynchronous: while the values of a page are
// multiplied, the scores of the next are turned into weights, as the softmax takes almost as long as the products do.
// Other GPUs multiply warp by warp; registers hold the same in both cases.
#include "compute/cuda/attention.h"
#include "compute/cuda/attention_parts.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

constexpr unsigned warpgroup_rows = 64;
constexpr unsigned warpgroups = tile_positions / warpgroup_rows;
constexpr unsigned threads = 128 * warpgroups;
constexpr unsigned page_size = page_positions;
// Stages of the ring: two for the page whose scores are computed and the one before it, whose values are still added,
// and those on their way. GPUs other than Hopper may have less than 100 KB of shared memory.
constexpr unsigned stages_of(MatrixUnit unit) { return unit == MatrixUnit::Warpgroup ? 4 : 3; }

struct Parameters {
  LayerBlocks blocks;
  RowTable table;
  const float* q;
  std::size_t q_stride;
  const AttentionTile* tiles;
  AttentionOutput out;
  unsigned group;  // query heads of a key/value head
  float scale;     // for scores in base 2
};

// A stage of the ring: operands of matrix products, rows of 128 bytes of which chunk c of 16 bytes lies at c ^ (row %
// 8). Keys are head_size / 64 operands of [64 positions][64 elements], values one of [head_size][64 positions].
template <unsigned head_size>
struct Layout {
  static constexpr unsigned row = 128;  // bytes
  static constexpr unsigned key_operand = page_size * row;
  static constexpr unsigned block = head_size * page_size * 2;
  static constexpr unsigned stage = 2 * block;

  __device__ static unsigned key_at(unsigned position, unsigned chunk) {
    return chunk / 8 * key_operand + position * row + (chunk % 8 ^ position % 8) * 16;
  }
  __device__ static unsigned value_at(unsigned d, unsigned chunk) { return block + d * row + (chunk ^ d % 8) * 16; }
};

// Makes the values from position `seen` of a stage on 0. What lies behind the last position may be anything, and a
// weight of 0 times anything may be NaN.
template <unsigned head_size>
__device__ void clear_values(std::byte* stage, unsigned seen) {
  using L = Layout<head_size>;
  constexpr unsigned value_chunks = page_size / 8;
  for (unsigned i = threadIdx.x; i < head_size * value_chunks; i += threads) {
    const unsigned chunk = i % value_chunks;
    auto* values = reinterpret_cast<std::uint16_t*>(stage + L::value_at(i / value_chunks, chunk));
    for (unsigned j = 0; j < 8; ++j) {
      if (chunk * 8 + j >= seen) values[j] = 0;
    }
  }
}

// A thread's part of its warpgroup's tile: rows lane / 4 and that + 8 of the 16 of its warp, which are the [2] below.
template <unsigned head_size>
struct Rows {
  unsigned positions[2];
  float max[2] = {-INFINITY, -INFINITY};
  float sum[2] = {};  // over this lane's positions
  float outputs[head_size / 2] = {};
};

// Four sums of a warp's product, d += a · b, where they lie among others.
__device__ void multiply_part(float* d, const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  float part[4] = {d[0], d[1], d[2], d[3]};
  ptx::multiply(part, a, {b0, b1});
#pragma unroll
  for (unsigned i = 0; i < 4; ++i) d[i] = part[i];
}

// The scores of a page begin to be computed.
template <unsigned head_size, MatrixUnit unit>
__device__ void start_scores(std::uint32_t stage, const std::uint32_t (&q)[head_size / 16][4],
                             float (&scores)[page_size / 2]) {
  using L = Layout<head_size>;
  if constexpr (unit == MatrixUnit::Warpgroup) {
#pragma unroll
    for (unsigned step = 0; step < head_size / 16; ++step) {
      const std::uint32_t keys = stage + step / 4 * L::key_operand + step % 4 * 32;
      ptx::multiply_warpgroup<page_size>(scores, q[step], ptx::matrix_descriptor(keys), step > 0);
    }
    ptx::warpgroup_commit();
  } else {
    const unsigned lane = threadIdx.x % 32;
#pragma unroll
    for (float& score : scores) score = 0;
#pragma unroll
    for (unsigned step = 0; step < head_size / 16; ++step) {
#pragma unroll
      for (unsigned i = 0; i < page_size / 16; ++i) {
        std::uint32_t keys[4];
        ptx::load_matrices(stage + L::key_at(16 * i + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2), keys);
        multiply_part(scores + 8 * i, q[step], keys[0], keys[1]);
        multiply_part(scores + 8 * i + 4, q[step], keys[2], keys[3]);
      }
    }
  }
}

// Weighted values begin to be added.
template <unsigned head_size, MatrixUnit unit>
__device__ void start_values(std::uint32_t stage, const std::uint32_t (&weights)[page_size / 16][4],
                             float (&outputs)[head_size / 2]) {
  using L = Layout<head_size>;
  if constexpr (unit == MatrixUnit::Warpgroup) {
#pragma unroll
    for (unsigned step = 0; step < page_size / 16; ++step) {
      const std::uint32_t values = stage + L::block + step * 32;
      ptx::multiply_warpgroup<head_size>(outputs, weights[step], ptx::matrix_descriptor(values), true);
    }
    ptx::warpgroup_commit();
  } else {
    const unsigned lane = threadIdx.x % 32;
#pragma unroll
    for (unsigned step = 0; step < page_size / 16; ++step) {
#pragma unroll
      for (unsigned i = 0; i < head_size / 16; ++i) {
        std::uint32_t values[4];
        ptx::load_matrices(stage + L::value_at(16 * i + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2), values);
        multiply_part(outputs + 8 * i, weights[step], values[0], values[1]);
        multiply_part(outputs + 8 * i + 4, weights[step], values[2], values[3]);
      }
    }
  }
}

// Before the first product of a round, and until at most `pending` of those begun are under way: a warp's own products
// have ended when the next instruction begins.
template <MatrixUnit unit>
__device__ void begin_products() {
  if constexpr (unit == MatrixUnit::Warpgroup) ptx::warpgroup_arrive();
}
template <MatrixUnit unit, int pending>
__device__ void wait_for_products() {
  if constexpr (unit == MatrixUnit::Warpgroup) ptx::warpgroup_wait<pending>();
}

// Scores of the page from position `first` on become weights against the new maximum; `factor`: what the outputs so far
// must be multiplied with.
template <unsigned head_size>
__device__ void weigh(float (&scores)[page_size / 2], unsigned first, bool masked, Rows<head_size>& rows,
                      float (&factor)[2]) {
  if (masked) {
    const unsigned column = first + 2 * (threadIdx.x % 4);
#pragma unroll
    for (unsigned i = 0; i < page_size / 2; ++i) {
      if (column + i / 4 * 8 + i % 2 > rows.positions[i / 2 % 2]) scores[i] = -INFINITY;
    }
  }
#pragma unroll
  for (unsigned r = 0; r < 2; ++r) {
    float max = rows.max[r];
#pragma unroll
    for (unsigned i = 0; i < page_size / 4; ++i) max = fmaxf(max, scores[i / 2 * 4 + 2 * r + i % 2]);
    max = quad_max(max);
    const float subtracted = finite_max(max);
    factor[r] = ptx::exponential2(rows.max[r] - subtracted);
    rows.max[r] = max;
    float sum = 0;
#pragma unroll
    for (unsigned i = 0; i < page_size / 4; ++i) {
      float& score = scores[i / 2 * 4 + 2 * r + i % 2];
      score = ptx::exponential2(score - subtracted);
      sum += score;
    }
    rows.sum[r] = fmaf(rows.sum[r], factor[r], sum);
  }
}

// A product's result is the first operand of the next, but for rounding.
__device__ void round_weights(const float (&scores)[page_size / 2], std::uint32_t (&weights)[page_size / 16][4]) {
#pragma unroll
  for (unsigned i = 0; i < page_size / 4; ++i) weights[i / 4][i % 4] = pack_halves(scores[2 * i], scores[2 * i + 1]);
}

template <unsigned head_size>
__device__ void load_queries(const Parameters& p, const AttentionTile& tile, unsigned head, unsigned first_row,
                             std::uint32_t (&q)[head_size / 16][4]) {
  const unsigned column = head * head_size + 2 * (threadIdx.x % 4);
#pragma unroll
  for (unsigned r = 0; r < 2; ++r) {
    const unsigned row = first_row + 8 * r;
    const bool present = row < tile.rows;
    const float* from = p.q + (tile.first_row + (present ? row : 0)) * p.q_stride + column;
#pragma unroll
    for (unsigned i = 0; i < head_size / 8; ++i) {
      const float2 x = *reinterpret_cast<const float2*>(from + 8 * i);
      q[i / 2][i % 2 * 2 + r] = present ? pack_halves(x.x * p.scale, x.y * p.scale) : 0;
    }
  }
}

template <unsigned head_size>
__device__ void write_rows(const Parameters& p, const AttentionTile& tile, unsigned head, unsigned first_row,
                           const Rows<head_size>& rows) {
  const unsigned column = head * head_size + 2 * (threadIdx.x % 4);
#pragma unroll
  for (unsigned r = 0; r < 2; ++r) {
    const float reciprocal = 1.0F / quad_sum(rows.sum[r]);
    const unsigned row = first_row + 8 * r;
    if (row >= tile.rows) continue;
#pragma unroll
    for (unsigned i = 0; i < head_size / 8; ++i) {
      const float2 y{rows.outputs[4 * i + 2 * r] * reciprocal, rows.outputs[4 * i + 2 * r + 1] * reciprocal};
      if (p.out.floats != nullptr) {
        *reinterpret_cast<float2*>(p.out.floats + (tile.first_row + row) * p.out.float_stride + column + 8 * i) = y;
      }
      if (p.out.halves != nullptr) {
        *reinterpret_cast<std::uint32_t*>(p.out.halves + (tile.first_row + row) * p.out.half_stride + column + 8 * i) =
            pack_halves(y.x, y.y);
      }
    }
  }
}

// Grid: (query head, tile).
template <unsigned head_size, MatrixUnit unit>
__global__ void __launch_bounds__(threads, 1) attend_prompt_kernel(Parameters p) {
  using L = Layout<head_size>;
  constexpr unsigned stages = stages_of(unit);
  constexpr unsigned pages_ahead = stages - 2;
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  const unsigned head = blockIdx.x;
  const unsigned kv_head = head / p.group;
  const AttentionTile tile = p.tiles[blockIdx.y];
  const unsigned first_position = p.table.position[tile.first_row];
  std::byte* const* pages = p.table.pages + p.table.first_page[tile.first_row];
  const unsigned last_position = first_position + tile.rows - 1;
  const unsigned page_count = last_position / page_size + 1;

  std::byte* memory = ptx::dynamic_shared();
  const std::uint32_t ring = ptx::shared_address(memory);
#pragma unroll
  for (unsigned i = 0; i < pages_ahead; ++i) {
    if (i < page_count) {
      copy_page<L, head_size, threads>(p.blocks.keys(pages[i], kv_head), ring + i * L::stage);
    }
    ptx::copy_async_commit();
  }
  const std::byte* next = pages_ahead < page_count ? pages[pages_ahead] : nullptr;  // known before it is needed

  // The pages that the warpgroup's rows see, and how many of them all of its rows see entirely.
  const unsigned warpgroup = threadIdx.x / 128;
  const unsigned first_of_warpgroup = warpgroup * warpgroup_rows;
  const bool idle = first_of_warpgroup >= tile.rows;
  const unsigned last_of_warpgroup = min(first_of_warpgroup + warpgroup_rows, tile.rows) - 1;
  const unsigned own_pages = idle ? 0 : (first_position + last_of_warpgroup) / page_size + 1;
  const unsigned whole_pages = (first_position + first_of_warpgroup + 1) / page_size;

  const unsigned first_row = first_of_warpgroup + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
  std::uint32_t q[head_size / 16][4];
  load_queries<head_size>(p, tile, head, first_row, q);
  Rows<head_size> rows;
  rows.positions[0] = first_position + first_row;
  rows.positions[1] = first_position + first_row + 8;

  // Page `index` becomes visible to products, and the one pages_ahead further on begins to be copied.
  const auto next_page = [&](unsigned index) {
    ptx::copy_async_wait<pages_ahead - 1>();
    if (index + 1 == page_count && last_position % page_size != page_size - 1) {
      __syncthreads();
      clear_values<head_size>(memory + index % stages * L::stage, last_position % page_size + 1);
    }
    if constexpr (unit == MatrixUnit::Warpgroup) ptx::fence_async_shared();
    __syncthreads();
    if (next != nullptr) {
      copy_page<L, head_size, threads>(p.blocks.keys(next, kv_head), ring + (index + pages_ahead) % stages * L::stage);
    }
    ptx::copy_async_commit();
    next = index + 1 + pages_ahead < page_count ? pages[index + 1 + pages_ahead] : nullptr;
  };

  float scores[page_size / 2];
  std::uint32_t weights[page_size / 16][4];
  float factor[2];
  next_page(0);
  if (!idle) {
    begin_products<unit>();
    start_scores<head_size, unit>(ring, q, scores);
    wait_for_products<unit, 0>();
    weigh<head_size>(scores, 0, whole_pages == 0, rows, factor);
    round_weights(scores, weights);
  }
  for (unsigned index = 1; index < page_count; ++index) {
    next_page(index);
    if (index >= own_pages) continue;
    begin_products<unit>();
    start_scores<head_size, unit>(ring + index % stages * L::stage, q, scores);
    start_values<head_size, unit>(ring + (index - 1) % stages * L::stage, weights, rows.outputs);
    wait_for_products<unit, 1>();
    weigh<head_size>(scores, index * page_size, index >= whole_pages, rows, factor);
    wait_for_products<unit, 0>();
#pragma unroll
    for (unsigned i = 0; i < head_size / 2; ++i) rows.outputs[i] *= factor[i / 2 % 2];
    round_weights(scores, weights);
  }
  if (idle) return;
  begin_products<unit>();
  start_values<head_size, unit>(ring + (own_pages - 1) % stages * L::stage, weights, rows.outputs);
  wait_for_products<unit, 0>();
  write_rows<head_size>(p, tile, head, first_row, rows);
}

template <unsigned head_size, MatrixUnit unit>
void start(cudaStream_t stream, dim3 grid, const Parameters& parameters) {
  launch(stream, grid, dim3(threads), stages_of(unit) * Layout<head_size>::stage, attend_prompt_kernel<head_size, unit>,
         parameters);
}

}  // namespace

void attend_prompt_with(MatrixUnit unit, cudaStream_t stream, const AttentionInput& input, const AttentionTile* tiles,
                        std::size_t count, const AttentionOutput& out) {
  const Parameters parameters{
      .blocks = LayerBlocks(input.shape, input.layer),
      .table = input.table,
      .q = input.q,
      .q_stride = input.q_stride,
      .tiles = tiles,
      .out = out,
      .group = static_cast<unsigned>(input.heads / input.shape.kv_heads),
      .scale = score_scale_base2(input.shape.head_size),
  };
  const dim3 grid(static_cast<unsigned>(input.heads), static_cast<unsigned>(count));
  const bool warpgroup = unit == MatrixUnit::Warpgroup;
  if (input.shape.head_size == 128) {
    warpgroup ? start<128, MatrixUnit::Warpgroup>(stream, grid, parameters)
              : start<128, MatrixUnit::Warp>(stream, grid, parameters);
  } else {
    warpgroup ? start<64, MatrixUnit::Warpgroup>(stream, grid, parameters)
              : start<64, MatrixUnit::Warp>(stream, grid, parameters);
  }
}

void attend_prompt(cudaStream_t stream, const AttentionInput& input, const AttentionTile* tiles, std::size_t count,
                   const AttentionOutput& out) {
  static const MatrixUnit unit = [] {
    int device = 0;
    int major = 0;
    check(cudaGetDevice(&device), "current device");
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "compute capability");
    return major == 9 ? MatrixUnit::Warpgroup : MatrixUnit::Warp;
  }();
  attend_prompt_with(unit, stream, input, tiles, count, out);
}

}  // namespace compute::cuda
