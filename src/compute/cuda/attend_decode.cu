// Attention of generation: rows of different sequences, of which each adds one position and attends over all before it.
//
// What counts is reading keys and values once, at the speed of the memory: 4 · head_size bytes for each position and
// key/value head, shared by up to eight query heads. A block takes a share of the pages of one (row, key/value head)
// and streams them through a ring in shared memory; each of its four warps takes 16 of a page's 64 positions. Products
// go to the tensor cores, whose 16 rows hold each query twice: rounded to halves, and in the lower eight rows what
// rounding left. So are the weights of the values. Scores and sums are therefore as exact as in float arithmetic, for
// nothing.
#include <algorithm>

#include "compute/cuda/attention.h"
#include "compute/cuda/attention_parts.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

constexpr unsigned warps = 4;
constexpr unsigned threads = 32 * warps;
constexpr unsigned queries_at_once = 8;
constexpr unsigned page_size = page_positions;
constexpr unsigned stages = 3;
// A sequence this short is not shared: merging costs more than reading its pages one after another.
constexpr unsigned pages_alone = 4;
constexpr unsigned min_pages_of_share = 2;
constexpr unsigned max_splits = 128;
// With more (row, key/value head) pairs than this there are blocks enough without sharing a sequence.
constexpr unsigned max_counters = 4096;

struct Parameters {
  LayerBlocks blocks;
  RowTable table;
  const float* q;
  std::size_t q_stride;
  NewKeys fresh;
  AttentionOutput out;
  unsigned heads;
  unsigned group;           // query heads of a key/value head
  unsigned parts;           // of a group, of at most queries_at_once query heads
  float scale;              // for scores in base 2
  unsigned* counters;       // [row][key/value head][part]: of the shares that are finished
  float* partial_outputs;   // [row][head][split][head_size], not divided by their sum
  float2* partial_softmax;  // [row][head][split]: maximum and sum
};

template <unsigned head_size>
struct Layout {
  static constexpr unsigned key_row = head_size * 2;  // bytes
  static constexpr unsigned value_row = page_size * 2;
  static constexpr unsigned block = head_size * page_size * 2;
  static constexpr unsigned stage = 2 * block;
  static constexpr unsigned shared = stages * stage;

  // 16 bytes of row r lie at place `chunk ^ (r % 8)` of it, so that eight rows' chunks are in different banks.
  __device__ static unsigned key_at(unsigned position, unsigned chunk) {
    return position * key_row + (chunk ^ (position % 8)) * 16;
  }
  __device__ static unsigned value_at(unsigned d, unsigned chunk) {
    return block + d * value_row + (chunk ^ (d % 8)) * 16;
  }

  // What warps merge at the end, in the same memory: floats.
  static constexpr unsigned merge_row = head_size + 8;  // so that rows begin in different banks
  static constexpr unsigned merge_outputs = 0;          // [warps][queries_at_once][merge_row]
  static constexpr unsigned merge_softmax = warps * queries_at_once * merge_row;  // [warps][queries_at_once] pairs
  static constexpr unsigned merge_weights =
      merge_softmax + 2 * warps * queries_at_once;                                      // [queries_at_once][max_splits]
  static constexpr unsigned merge_sums = merge_weights + queries_at_once * max_splits;  // [queries_at_once]
  static constexpr unsigned merge_last = merge_sums + queries_at_once;  // whether this block's share is the last
  static_assert((merge_last + 1) * sizeof(float) <= shared);
};

// How many blocks share a sequence of so many pages.
__device__ unsigned used_splits(unsigned pages, unsigned splits) {
  if (pages <= pages_alone) return 1;
  return min(splits, (pages + min_pages_of_share - 1) / min_pages_of_share);
}

// A block's queries as they come: pairs 2 (lane % 4) and the next of eight elements, of query lane / 4.
template <unsigned head_size>
struct RawQueries {
  float2 x[head_size / 8];
  float2 cos_sin[head_size / 8];
};

template <unsigned head_size>
__device__ void load_queries(const Parameters& p, unsigned row, unsigned first_head, unsigned queries,
                             RawQueries<head_size>& raw) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned query = min(lane / 4, queries - 1);
  const float* from = p.q + row * p.q_stride + (first_head + query) * head_size + 2 * (lane % 4);
  const float* cos_sin = p.fresh.cos_sin + row * head_size + 2 * (lane % 4);
#pragma unroll
  for (unsigned i = 0; i < head_size / 8; ++i) {
    raw.x[i] = *reinterpret_cast<const float2*>(from + 8 * i);
    if (p.fresh.cos_sin != nullptr) raw.cos_sin[i] = *reinterpret_cast<const float2*>(cos_sin + 8 * i);
  }
}

// Turned, scaled, and as the first operand of products: see the head of the file.
template <unsigned head_size>
__device__ void prepare_queries(const Parameters& p, unsigned queries, const RawQueries<head_size>& raw,
                                std::uint32_t (&q)[head_size / 16][4]) {
  const bool present = threadIdx.x % 32 / 4 < queries;
#pragma unroll
  for (unsigned i = 0; i < head_size / 8; ++i) {
    float2 x = p.fresh.cos_sin != nullptr ? turn(raw.x[i], raw.cos_sin[i]) : raw.x[i];
    x = present ? float2{x.x * p.scale, x.y * p.scale} : float2{0, 0};
    const std::uint32_t rounded = pack_halves(x.x, x.y);
    const float2 seen = unpack_halves(rounded);
    q[i / 2][2 * (i % 2)] = rounded;
    q[i / 2][2 * (i % 2) + 1] = pack_halves(x.x - seen.x, x.y - seen.y);
  }
}

// Adds what rounding left. An infinite part has no rest: it would be infinity minus infinity.
__device__ float whole(float rounded, float rest) { return isinf(rounded) ? rounded : rounded + rest; }

// A pair of a head's new key and value, of the cache's halves, in one thread each of the first head_size / 2.
struct FreshPair {
  std::uint32_t key = 0;
  std::uint32_t value = 0;
};

template <unsigned head_size>
__device__ FreshPair load_fresh(const Parameters& p, unsigned row, unsigned kv_head) {
  if (threadIdx.x >= head_size / 2) return {};
  const unsigned column = kv_head * head_size + 2 * threadIdx.x;
  float2 k = *reinterpret_cast<const float2*>(p.fresh.k + row * p.fresh.k_stride + column);
  const float2 v = *reinterpret_cast<const float2*>(p.fresh.v + row * p.fresh.v_stride + column);
  if (p.fresh.cos_sin != nullptr) {
    k = turn(k, *reinterpret_cast<const float2*>(p.fresh.cos_sin + row * head_size + 2 * threadIdx.x));
  }
  return {pack_halves(k.x, k.y), pack_halves(v.x, v.y)};
}

template <unsigned head_size>
__device__ void store_fresh(FreshPair fresh, std::byte* keys, unsigned slot) {
  if (threadIdx.x >= head_size / 2) return;
  const unsigned d = 2 * threadIdx.x;
  *reinterpret_cast<std::uint32_t*>(keys + slot * head_size * 2 + d * 2) = fresh.key;
  auto* to = reinterpret_cast<std::uint16_t*>(keys + Layout<head_size>::block) + d * page_size + slot;
  to[0] = static_cast<std::uint16_t>(fresh.value);
  to[page_size] = static_cast<std::uint16_t>(fresh.value >> 16);
}

// The same into a stage of the ring.
template <unsigned head_size>
__device__ void patch_fresh(FreshPair fresh, std::byte* stage, unsigned slot) {
  using L = Layout<head_size>;
  if (threadIdx.x >= head_size / 2) return;
  const unsigned d = 2 * threadIdx.x;
  *reinterpret_cast<std::uint32_t*>(stage + L::key_at(slot, d / 8) + d % 8 * 2) = fresh.key;
  *reinterpret_cast<std::uint16_t*>(stage + L::value_at(d, slot / 8) + slot % 8 * 2) =
      static_cast<std::uint16_t>(fresh.value);
  *reinterpret_cast<std::uint16_t*>(stage + L::value_at(d + 1, slot / 8) + slot % 8 * 2) =
      static_cast<std::uint16_t>(fresh.value >> 16);
}

// Of one warp: query lane / 4, and in `outputs` the fragments of products of halves and of rests.
template <unsigned head_size>
struct Softmax {
  float max = -INFINITY;
  float sum = 0;  // over this lane's positions
  float outputs[head_size / 8][4] = {};
};

// Adds the warp's 16 positions of a page, of which the first `visible` are seen.
template <unsigned head_size>
__device__ void attend_page(std::uint32_t stage, const std::uint32_t (&q)[head_size / 16][4], unsigned visible,
                            Softmax<head_size>& softmax) {
  using L = Layout<head_size>;
  const unsigned lane = threadIdx.x % 32;
  const unsigned first = threadIdx.x / 32 * 16;
  // Of a 16 x 16 part of keys or values, in the order of the second operands of two products.
  const unsigned matrix_row = lane / 16 * 8 + lane % 8;
  const unsigned matrix_chunk = lane / 8 % 2;

  float scores[2][2][4] = {};  // [even or odd step][positions 0-7 or 8-15]: two chains of products are faster than one
#pragma unroll
  for (unsigned step = 0; step < head_size / 16; ++step) {
    std::uint32_t keys[4];
    ptx::load_matrices(stage + L::key_at(first + matrix_row, 2 * step + matrix_chunk), keys);
    ptx::multiply(scores[step % 2][0], q[step], {keys[0], keys[1]});
    ptx::multiply(scores[step % 2][1], q[step], {keys[2], keys[3]});
  }
  float s[2][2];
  float max = softmax.max;
#pragma unroll
  for (unsigned tile = 0; tile < 2; ++tile) {
#pragma unroll
    for (unsigned i = 0; i < 2; ++i) {
      const float score =
          whole(scores[0][tile][i] + scores[1][tile][i], scores[0][tile][i + 2] + scores[1][tile][i + 2]);
      const unsigned position = first + 8 * tile + 2 * (lane % 4) + i;
      s[tile][i] = position < visible ? score : -INFINITY;
      max = fmaxf(max, s[tile][i]);
    }
  }
  max = quad_max(max);
  const float subtracted = finite_max(max);
  const float factor = exp2f(softmax.max - subtracted);
  softmax.max = max;

  std::uint32_t weights[4];
  float sum = 0;
#pragma unroll
  for (unsigned tile = 0; tile < 2; ++tile) {
    const float a = exp2f(s[tile][0] - subtracted);
    const float b = exp2f(s[tile][1] - subtracted);
    sum += a + b;
    const std::uint32_t rounded = pack_halves(a, b);
    const float2 seen = unpack_halves(rounded);
    weights[2 * tile] = rounded;
    weights[2 * tile + 1] = pack_halves(a - seen.x, b - seen.y);
  }
  softmax.sum = fmaf(softmax.sum, factor, sum);

  // What lies behind the row's position may be anything, and 0 times anything may be NaN.
  std::uint32_t seen[2];
#pragma unroll
  for (unsigned tile = 0; tile < 2; ++tile) {
    const unsigned position = first + 8 * tile + 2 * (lane % 4);
    seen[tile] = (position < visible ? 0x0000ffffU : 0U) | (position + 1 < visible ? 0xffff0000U : 0U);
  }
#pragma unroll
  for (unsigned i = 0; i < head_size / 16; ++i) {
    std::uint32_t values[4];
    ptx::load_matrices(stage + L::value_at(16 * i + matrix_row, first / 8 + matrix_chunk), values);
#pragma unroll
    for (unsigned tile = 0; tile < 2; ++tile) {
      float(&output)[4] = softmax.outputs[2 * i + tile];
#pragma unroll
      for (float& x : output) x *= factor;
      ptx::multiply(output, weights, {values[2 * tile] & seen[0], values[2 * tile + 1] & seen[1]});
    }
  }
}

__device__ void write_output(const AttentionOutput& out, unsigned row, unsigned column, float4 y) {
  if (out.floats != nullptr) *reinterpret_cast<float4*>(out.floats + row * out.float_stride + column) = y;
  if (out.halves != nullptr) {
    *reinterpret_cast<uint2*>(out.halves + row * out.half_stride + column) = {pack_halves(y.x, y.y),
                                                                              pack_halves(y.z, y.w)};
  }
}

__device__ void add_scaled(float4& y, float4 x, float factor) {
  y = {fmaf(x.x, factor, y.x), fmaf(x.y, factor, y.y), fmaf(x.z, factor, y.z), fmaf(x.w, factor, y.w)};
}
__device__ float4 scaled(float4 x, float factor) { return {x.x * factor, x.y * factor, x.z * factor, x.w * factor}; }

// The block whose share is finished last adds all shares, in their order.
template <unsigned head_size>
__device__ void merge_shares(const Parameters& p, unsigned row, unsigned first_head, unsigned queries, unsigned shares,
                             float* merge) {
  using L = Layout<head_size>;
  const unsigned lane = threadIdx.x % 32;
  const std::size_t first_partial = (static_cast<std::size_t>(row) * p.heads + first_head) * gridDim.z;
  // All loads of a step are under way together: their latencies are most of what merging costs.
  for (unsigned query = threadIdx.x / 32; query < queries; query += warps) {
    const float2* softmax = p.partial_softmax + first_partial + query * gridDim.z;
    float2 of_share[max_splits / 32];
    float max = -INFINITY;
#pragma unroll
    for (unsigned i = 0; i < max_splits / 32; ++i) {
      const unsigned share = lane + 32 * i;
      of_share[i] = share < shares ? __ldcg(softmax + share) : float2{-INFINITY, 0};
    }
#pragma unroll
    for (unsigned i = 0; i < max_splits / 32; ++i) max = fmaxf(max, of_share[i].x);
    for (unsigned mask = 16; mask > 0; mask /= 2) max = fmaxf(max, __shfl_xor_sync(0xffffffffU, max, mask));
    const float subtracted = finite_max(max);
    float sum = 0;
#pragma unroll
    for (unsigned i = 0; i < max_splits / 32; ++i) {
      const float weight = exp2f(of_share[i].x - subtracted);
      merge[L::merge_weights + query * max_splits + lane + 32 * i] = weight;
      sum = fmaf(of_share[i].y, weight, sum);
    }
    for (unsigned mask = 16; mask > 0; mask /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, mask);
    if (lane == 0) merge[L::merge_sums + query] = sum;
  }
  __syncthreads();
  for (unsigned at = 4 * threadIdx.x; at < queries * head_size; at += 4 * threads) {
    const unsigned query = at / head_size;
    const float* weights = merge + L::merge_weights + query * max_splits;
    const float* outputs = p.partial_outputs + (first_partial + query * gridDim.z) * head_size + at % head_size;
    constexpr unsigned shares_at_once = 32;
    float4 y{};
    for (unsigned first = 0; first < shares; first += shares_at_once) {
      float4 x[shares_at_once];
#pragma unroll
      for (unsigned i = 0; i < shares_at_once; ++i) {
        const float* from = outputs + (first + i) * head_size;
        x[i] = first + i < shares ? __ldcg(reinterpret_cast<const float4*>(from)) : float4{};
      }
#pragma unroll
      for (unsigned i = 0; i < shares_at_once; ++i) add_scaled(y, x[i], weights[first + i]);
    }
    write_output(p.out, row, first_head * head_size + at, scaled(y, 1.0F / merge[L::merge_sums + query]));
  }
}

// Adds the warps' results; writes the output where no other block shares the sequence, or this block's share of it.
template <unsigned head_size>
__device__ void finish(const Parameters& p, unsigned row, unsigned first_head, unsigned queries, unsigned shares,
                       const Softmax<head_size>& softmax) {
  using L = Layout<head_size>;
  float* merge = reinterpret_cast<float*>(ptx::dynamic_shared());
  float2* merge_softmax = reinterpret_cast<float2*>(merge + L::merge_softmax);
  const unsigned lane = threadIdx.x % 32;
  const unsigned mine = threadIdx.x / 32 * queries_at_once + lane / 4;
  const float sum_of_lanes = quad_sum(softmax.sum);
  __syncthreads();  // the ring is no longer read
  if (lane % 4 == 0) merge_softmax[mine] = {softmax.max, sum_of_lanes};
#pragma unroll
  for (unsigned i = 0; i < head_size / 8; ++i) {
    *reinterpret_cast<float2*>(merge + L::merge_outputs + mine * L::merge_row + 8 * i + 2 * (lane % 4)) = {
        whole(softmax.outputs[i][0], softmax.outputs[i][2]), whole(softmax.outputs[i][1], softmax.outputs[i][3])};
  }
  __syncthreads();

  const std::size_t first_partial = (static_cast<std::size_t>(row) * p.heads + first_head) * gridDim.z + blockIdx.z;
  for (unsigned at = 4 * threadIdx.x; at < queries * head_size; at += 4 * threads) {
    const unsigned query = at / head_size;
    const unsigned d = at % head_size;
    float max = -INFINITY;
#pragma unroll
    for (unsigned warp = 0; warp < warps; ++warp) max = fmaxf(max, merge_softmax[warp * queries_at_once + query].x);
    const float subtracted = finite_max(max);
    float sum = 0;
    float4 y{};
#pragma unroll
    for (unsigned warp = 0; warp < warps; ++warp) {
      const float2 of_warp = merge_softmax[warp * queries_at_once + query];
      const float weight = exp2f(of_warp.x - subtracted);
      sum = fmaf(of_warp.y, weight, sum);
      const float* outputs = merge + L::merge_outputs + (warp * queries_at_once + query) * L::merge_row + d;
      add_scaled(y, *reinterpret_cast<const float4*>(outputs), weight);
    }
    if (shares == 1) {
      write_output(p.out, row, first_head * head_size + at, scaled(y, 1.0F / sum));
    } else {
      const std::size_t partial = first_partial + query * gridDim.z;
      *reinterpret_cast<float4*>(p.partial_outputs + partial * head_size + d) = y;
      if (d == 0) p.partial_softmax[partial] = {max, sum};
    }
  }
  if (shares == 1) return;

  unsigned* last = reinterpret_cast<unsigned*>(merge + L::merge_last);
  unsigned* counter = p.counters + row * gridDim.x + blockIdx.x;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) *last = atomicAdd(counter, 1U) == shares - 1 ? 1U : 0U;
  __syncthreads();
  if (*last == 0) return;
  __threadfence();
  if (threadIdx.x == 0) *counter = 0;
  merge_shares<head_size>(p, row, first_head, queries, shares, merge);
}

// Grid: (part of a key/value head's query heads, row, split). Two blocks have room on a multiprocessor.
template <unsigned head_size>
__global__ void __launch_bounds__(threads, 2) attend_decode_kernel(Parameters p) {
  using L = Layout<head_size>;
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  const unsigned row = blockIdx.y;
  const unsigned kv_head = blockIdx.x / p.parts;
  const unsigned part = blockIdx.x % p.parts;
  const unsigned first_head = kv_head * p.group + part * queries_at_once;
  const unsigned queries = min(queries_at_once, p.group - part * queries_at_once);
  const unsigned position = p.table.position[row];
  std::byte* const* pages = p.table.pages + p.table.first_page[row];

  const unsigned page_count = position / page_size + 1;
  const unsigned shares = used_splits(page_count, gridDim.z);
  if (blockIdx.z >= shares) return;
  const unsigned begin = page_count * blockIdx.z / shares;
  const unsigned end = page_count * (blockIdx.z + 1) / shares;

  // Everything is asked for before anything is waited for: a short sequence costs little but latencies.
  const std::byte* first_pages[stages];
#pragma unroll
  for (unsigned i = 0; i < stages; ++i) first_pages[i] = begin + i < end ? pages[begin + i] : nullptr;
  RawQueries<head_size> raw;
  load_queries<head_size>(p, row, first_head, queries, raw);
  const bool has_fresh = end == page_count;
  const unsigned slot = position % page_size;
  FreshPair fresh;
  std::byte* fresh_page = nullptr;
  if (has_fresh) {
    fresh = load_fresh<head_size>(p, row, kv_head);
    fresh_page = pages[page_count - 1];
  }

  std::byte* memory = ptx::dynamic_shared();
  const std::uint32_t ring = ptx::shared_address(memory);
#pragma unroll
  for (unsigned i = 0; i < stages - 1; ++i) {
    if (begin + i < end) copy_page<Layout<head_size>, head_size, threads>(p.blocks.keys(first_pages[i], kv_head), ring + i * L::stage);
    ptx::copy_async_commit();
  }
  const std::byte* next = first_pages[stages - 1];
  if (has_fresh && part == 0) store_fresh<head_size>(fresh, fresh_page + p.blocks.keys_offset(kv_head), slot);
  std::uint32_t q[head_size / 16][4];
  prepare_queries<head_size>(p, queries, raw, q);

  Softmax<head_size> softmax;
  unsigned stage = 0;
  for (unsigned index = begin; index < end; ++index) {
    ptx::copy_async_wait<stages - 2>();
    __syncthreads();  // the page is there for all threads, and the stage before it is free
    if (next != nullptr) {
      const unsigned free_stage = stage == 0 ? stages - 1 : stage - 1;
      copy_page<Layout<head_size>, head_size, threads>(p.blocks.keys(next, kv_head), ring + free_stage * L::stage);
    }
    ptx::copy_async_commit();
    next = index + stages < end ? pages[index + stages] : nullptr;
    unsigned visible = page_size;
    if (index + 1 == page_count) {
      visible = slot + 1;
      patch_fresh<head_size>(fresh, memory + stage * L::stage, slot);
      __syncthreads();
    }
    attend_page<head_size>(ring + stage * L::stage, q, visible, softmax);
    stage = stage + 1 == stages ? 0 : stage + 1;
  }
  finish<head_size>(p, row, first_head, queries, shares, softmax);
}

constexpr std::size_t counter_bytes = max_counters * sizeof(unsigned);

}  // namespace

std::size_t decode_workspace_bytes(std::size_t rows, std::size_t heads, std::size_t head_size, std::size_t splits) {
  if (splits <= 1) return 0;
  return counter_bytes + rows * heads * splits * (head_size * sizeof(float) + sizeof(float2));
}

void attend_decode(cudaStream_t stream, const AttentionInput& input, const NewKeys& fresh, const AttentionOutput& out,
                   std::size_t splits, void* workspace) {
  const std::size_t group = input.heads / input.shape.kv_heads;
  const std::size_t parts = (group + queries_at_once - 1) / queries_at_once;
  const std::size_t pairs = input.rows * input.shape.kv_heads * parts;
  const std::size_t shares = pairs > max_counters ? 1 : std::clamp<std::size_t>(splits, 1, max_splits);
  auto* memory = static_cast<std::byte*>(workspace);
  Parameters parameters{
      .blocks = LayerBlocks(input.shape, input.layer),
      .table = input.table,
      .q = input.q,
      .q_stride = input.q_stride,
      .fresh = fresh,
      .out = out,
      .heads = static_cast<unsigned>(input.heads),
      .group = static_cast<unsigned>(group),
      .parts = static_cast<unsigned>(parts),
      .scale = score_scale_base2(input.shape.head_size),
      .counters = nullptr,
      .partial_outputs = nullptr,
      .partial_softmax = nullptr,
  };
  if (shares > 1) {
    // The counters' place depends on nothing, as they must still be zero when the next batch has another shape.
    parameters.counters = reinterpret_cast<unsigned*>(memory);
    parameters.partial_outputs = reinterpret_cast<float*>(memory + counter_bytes);
    parameters.partial_softmax = reinterpret_cast<float2*>(parameters.partial_outputs +
                                                           input.rows * input.heads * shares * input.shape.head_size);
  }
  const dim3 grid(static_cast<unsigned>(input.shape.kv_heads * parts), static_cast<unsigned>(input.rows),
                  static_cast<unsigned>(shares));
  const auto start = [&]<unsigned head_size>() {
    launch(stream, grid, dim3(threads), Layout<head_size>::shared, attend_decode_kernel<head_size>, parameters);
  };
  if (input.shape.head_size == 128) {
    start.template operator()<128>();
  } else {
    start.template operator()<64>();
  }
}

}  // namespace compute::cuda
