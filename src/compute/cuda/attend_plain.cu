// out = softmax(q · kᵀ / √head_size) · v in float arithmetic, for any head size and type of cache.
//
// A block takes one row, one key/value head and up to four of its query heads, and goes once through the row's pages:
// scores of 64 positions, their exponentials against the running maximum, then the weighted values. It reads keys and
// values once for the four query heads, but once for every row.
#include "compute/cuda/attention.h"
#include "compute/cuda/attention_parts.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

constexpr unsigned threads = 128;
constexpr unsigned queries_at_once = threads / 32;  // a warp keeps the maximum and sum of each
constexpr unsigned lanes_per_position = 8;
constexpr unsigned positions_at_once = threads / lanes_per_position;
constexpr unsigned max_head_size = 512;
constexpr unsigned dimensions_per_thread = max_head_size / threads;
constexpr unsigned page_size = page_positions;

struct Parameters {
  LayerBlocks blocks;
  RowTable table;
  const float* q;
  std::size_t q_stride;
  AttentionOutput out;
  unsigned head_size;
  unsigned group;  // query heads of a key/value head
  float scale;
};

__device__ float4 load4(const float* from) { return *reinterpret_cast<const float4*>(from); }
__device__ float4 load4(const __half* from) {
  const uint2 bits = *reinterpret_cast<const uint2*>(from);
  const float2 a = unpack_halves(bits.x);
  const float2 b = unpack_halves(bits.y);
  return {a.x, a.y, b.x, b.y};
}

// Values of dimension d at 4 positions from `first` on: F16 values are transposed, F32 values are not.
__device__ float4 load_values(const float* values, unsigned head_size, unsigned d, unsigned first) {
  const float* at = values + first * head_size + d;
  return {at[0], at[head_size], at[2 * head_size], at[3 * head_size]};
}
__device__ float4 load_values(const __half* values, unsigned, unsigned d, unsigned first) {
  return load4(values + d * page_size + first);
}

__device__ float warp_max(float x) {
  for (unsigned mask = 16; mask > 0; mask /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffU, x, mask));
  return x;
}
__device__ float warp_sum(float x) {
  for (unsigned mask = 16; mask > 0; mask /= 2) x += __shfl_xor_sync(0xffffffffU, x, mask);
  return x;
}

// Scores of a page's positions, in shared memory [query][position]; −∞ where the row does not see the position.
template <typename Element>
__device__ void score_page(const Element* keys, const float* q, unsigned head_size, unsigned visible, float scale,
                           float* scores) {
  const unsigned lane = threadIdx.x % lanes_per_position;
  for (unsigned position = threadIdx.x / lanes_per_position; position < page_size; position += positions_at_once) {
    float dot[queries_at_once] = {};
    if (position < visible) {
      for (unsigned d = 4 * lane; d < head_size; d += 4 * lanes_per_position) {
        const float4 k = load4(keys + position * head_size + d);
#pragma unroll
        for (unsigned i = 0; i < queries_at_once; ++i) {
          const float4 x = load4(q + i * head_size + d);
          dot[i] = fmaf(x.x, k.x, fmaf(x.y, k.y, fmaf(x.z, k.z, fmaf(x.w, k.w, dot[i]))));
        }
      }
    }
#pragma unroll
    for (unsigned i = 0; i < queries_at_once; ++i) {
      for (unsigned mask = lanes_per_position / 2; mask > 0; mask /= 2) {
        dot[i] += __shfl_xor_sync(0xffffffffU, dot[i], mask);
      }
      if (lane == 0) scores[i * page_size + position] = position < visible ? dot[i] * scale : -INFINITY;
    }
  }
}

template <typename Element>
__global__ void __launch_bounds__(threads) attend_plain_kernel(Parameters p) {
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  const unsigned row = blockIdx.x;
  const unsigned kv_head = blockIdx.y;
  const unsigned first_query = blockIdx.z * queries_at_once;  // of the group
  const unsigned queries = min(queries_at_once, p.group - first_query);
  const unsigned first_column = (kv_head * p.group + first_query) * p.head_size;
  const unsigned warp = threadIdx.x / 32;
  const unsigned lane = threadIdx.x % 32;

  float* q = reinterpret_cast<float*>(ptx::dynamic_shared());  // [queries_at_once][head_size]
  float* scores = q + queries_at_once * p.head_size;           // [queries_at_once][page_size], then their exponentials
  float* shrink = scores + queries_at_once * page_size;        // [queries_at_once]; at the end 1 / sum
  for (unsigned i = threadIdx.x; i < queries_at_once * p.head_size; i += threads) {
    q[i] = i < queries * p.head_size ? p.q[row * p.q_stride + first_column + i] : 0.0F;
  }
  __syncthreads();

  const unsigned positions = p.table.position[row] + 1;
  std::byte* const* pages = p.table.pages + p.table.first_page[row];
  float max = -INFINITY;
  float sum = 0;
  float acc[queries_at_once][dimensions_per_thread] = {};
  for (unsigned first = 0; first < positions; first += page_size) {
    const std::byte* page = pages[first / page_size];
    const unsigned visible = min(page_size, positions - first);
    score_page(reinterpret_cast<const Element*>(p.blocks.keys(page, kv_head)), q, p.head_size, visible, p.scale,
               scores);
    __syncthreads();

    float* mine = scores + warp * page_size;
    const float new_max = fmaxf(max, warp_max(fmaxf(mine[lane], mine[lane + 32])));
    const float subtracted = finite_max(new_max);
    const float factor = expf(max - subtracted);
    const float low = expf(mine[lane] - subtracted);
    const float high = expf(mine[lane + 32] - subtracted);
    sum = fmaf(sum, factor, warp_sum(low + high));
    max = new_max;
    mine[lane] = low;
    mine[lane + 32] = high;
    if (lane == 0) shrink[warp] = factor;
    __syncthreads();

    const auto* values = reinterpret_cast<const Element*>(p.blocks.values(page, kv_head));
#pragma unroll
    for (unsigned j = 0; j < dimensions_per_thread; ++j) {
      const unsigned d = threadIdx.x + j * threads;
      if (d >= p.head_size) continue;
#pragma unroll
      for (unsigned i = 0; i < queries_at_once; ++i) acc[i][j] *= shrink[i];
      for (unsigned at = 0; at < visible; at += 4) {
        float4 v = load_values(values, p.head_size, d, at);
        // What lies behind the row's position may be anything, and 0 times anything may be NaN.
        if (at + 1 >= visible) v.y = 0;
        if (at + 2 >= visible) v.z = 0;
        if (at + 3 >= visible) v.w = 0;
#pragma unroll
        for (unsigned i = 0; i < queries_at_once; ++i) {
          const float4 weight = load4(scores + i * page_size + at);
          acc[i][j] = fmaf(weight.x, v.x, fmaf(weight.y, v.y, fmaf(weight.z, v.z, fmaf(weight.w, v.w, acc[i][j]))));
        }
      }
    }
    __syncthreads();
  }

  if (lane == 0) shrink[warp] = 1.0F / sum;
  __syncthreads();
#pragma unroll
  for (unsigned i = 0; i < queries_at_once; ++i) {
    if (i >= queries) continue;
#pragma unroll
    for (unsigned j = 0; j < dimensions_per_thread; ++j) {
      const unsigned d = threadIdx.x + j * threads;
      if (d >= p.head_size) continue;
      const unsigned column = first_column + i * p.head_size + d;
      const float y = acc[i][j] * shrink[i];
      if (p.out.floats != nullptr) p.out.floats[row * p.out.float_stride + column] = y;
      if (p.out.halves != nullptr) p.out.halves[row * p.out.half_stride + column] = __float2half_rn(y);
    }
  }
}

}  // namespace

void attend_plain(cudaStream_t stream, const AttentionInput& input, const AttentionOutput& out) {
  if (input.shape.head_size > max_head_size)
    throw base::Error(base::ErrorKind::Internal, "attention on CUDA", "heads of more than 512 elements");
  const Parameters parameters{
      .blocks = LayerBlocks(input.shape, input.layer),
      .table = input.table,
      .q = input.q,
      .q_stride = input.q_stride,
      .out = out,
      .head_size = static_cast<unsigned>(input.shape.head_size),
      .group = static_cast<unsigned>(input.heads / input.shape.kv_heads),
      .scale = score_scale(input.shape.head_size),
  };
  const dim3 grid(static_cast<unsigned>(input.rows), static_cast<unsigned>(input.shape.kv_heads),
                  (parameters.group + queries_at_once - 1) / queries_at_once);
  const std::size_t shared = queries_at_once * (input.shape.head_size + page_size + 1) * sizeof(float);
  const bool half = input.shape.type == quant::Type::F16;
  launch(stream, grid, dim3(threads), shared, half ? attend_plain_kernel<__half> : attend_plain_kernel<float>,
         parameters);
}

}  // namespace compute::cuda
