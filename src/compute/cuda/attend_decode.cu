// Attention of generation: rows of different sequences, of which each adds one position and attends over all before it.
//
// What counts is reading keys and values once, at the speed of the memory: 4 · head_size bytes for each position and
// key/value head, shared by up to eight query heads. A block takes a share of the pages of one (row, key/value head)
// and streams them through a ring in shared memory; each of its four warps takes 16 of a page's 64 positions. Products
// go to the tensor cores, whose 16 rows hold each query twice: rounded to halves, and in the lower eight rows what
// rounding left. So are the weights of the values. Scores and sums are therefore as exact as in float arithmetic, for
// nothing.
//
// decode_row.h reads the row's queries, new key and value, decode_page.h attends over a page, decode_merge.h adds up.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "compute/cuda/attention.h"
#include "compute/cuda/attention_parts.h"
#include "compute/cuda/decode_merge.h"
#include "compute/cuda/decode_page.h"
#include "compute/cuda/decode_parameters.h"
#include "compute/cuda/decode_row.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

using namespace decode;

// How many blocks share a sequence of so many pages.
__device__ unsigned used_splits(unsigned pages, unsigned splits) {
  if (pages <= pages_alone) return 1;
  return min(splits, (pages + min_pages_of_share - 1) / min_pages_of_share);
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
    if (begin + i < end) copy_page<L, head_size, threads>(p.blocks.keys(first_pages[i], kv_head), ring + i * L::stage);
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
      copy_page<L, head_size, threads>(p.blocks.keys(next, kv_head), ring + free_stage * L::stage);
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
