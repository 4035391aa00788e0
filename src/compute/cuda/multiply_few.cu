// y = x · weightᵀ for 1 to 8 rows of x, as fast as memory gives the weights. x: {rows, cols}, weight: {n, cols} packed
// in tiles of 16 x 64, y: {rows, n}.
//
// A block of 8 or 16 warps makes 16 rows of y's columns, one row of tiles after another. Its warps take units of a row
// of tiles in turn; each has a ring in shared memory into which it copies its next units while it multiplies.
// Activations lie as B fragments in shared memory too; a warp's sums meet those of the others there, in the order of
// the warps. The grid is as large as can be resident at once, with the same number of rows of tiles to each block, so
// that all end together.
//
// Weights are constant, so the first units are asked for before the kernels in front have ended. What is left between
// two kernels is to read a few activations and multiply.
//
// few_plan.h chooses how the work is cut, few_staging.h brings activations to shared memory, few_row_tiles.h has the
// loop over a block's rows of tiles, few_tiles.h the arithmetic of a tile.
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

#include "base/error.h"
#include "compute/cuda/few_plan.h"
#include "compute/cuda/few_row_tiles.h"
#include "compute/cuda/few_staging.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/packed.h"
#include "compute/cuda/products.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

using namespace few;

// Blocks for which a multiprocessor must have registers: 128 to a thread, so that instructions of several tiles
// overlap; 80 for several rows, which are rarer.
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
    multiply_row_tiles<single, warps, slots, false, format, format>(source, shape, job.data, nullptr, begin, end,
                                                                    output);
  };
  switch (job.format) {
    case Format::Q4:
      run.template operator()<Format::Q4>();
      break;
    case Format::Q6:
      run.template operator()<Format::Q6>();
      break;
    case Format::F16:
      run.template operator()<Format::F16>();
      break;
    case Format::F32:  // has no tiles: refused before
      break;
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

[[noreturn]] void refuse_floats() {
  throw base::Error(base::ErrorKind::Internal, "product", "a weight in floats has no tiles");
}

Limits current_limits() {
  int device = 0;
  int bytes = 0;
  check(cudaGetDevice(&device), "current device");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "shared memory");
  return {static_cast<std::size_t>(bytes) - 1024, multiprocessors()};  // of the bytes the system takes 1,024
}

template <typename Source>
void multiply(cudaStream_t stream, const Source& source, std::span<const OutputProduct> products, float scale) {
  constexpr bool halves = std::is_same_v<Source, HalfSource>;
  const Limits limits = current_limits();
  while (!products.empty()) {
    const auto batch = products.first(std::min<std::size_t>(products.size(), max_jobs));
    products = products.subspan(batch.size());
    const FewPlan plan = plan_products(batch, source.rows, halves, limits);
    Jobs jobs{};
    jobs.block_row_tiles = plan.block_row_tiles;
    unsigned blocks = 0;
    for (const OutputProduct& product : batch) {
      if (product.weight.format == Format::F32) refuse_floats();
      jobs.job[jobs.count++] = {product.weight.data,
                                product.y,
                                static_cast<unsigned>(product.stride),
                                static_cast<unsigned>(product.weight.rows),
                                blocks,
                                product.weight.format,
                                product.add};
      blocks += static_cast<unsigned>((row_tiles_of(product.weight) + plan.block_row_tiles - 1) / plan.block_row_tiles);
    }
    const auto start = [&](auto* kernel) {
      launch(stream, dim3(blocks), dim3(plan.warps * 32), plan.shared_bytes, kernel, source, plan.shape, jobs, scale);
    };
    if constexpr (halves) {
      if (plan.warps == wide_warps) {
        start(source.rows == 1 ? multiply_kernel<true, wide_warps, long_slots, Source>
                               : multiply_kernel<false, wide_warps, long_slots, Source>);
        continue;
      }
    }
    if (plan.slots == 1) {
      start(source.rows == 1 ? multiply_kernel<true, norm_warps, 1, Source>
                             : multiply_kernel<false, norm_warps, 1, Source>);
    } else {
      start(source.rows == 1 ? multiply_kernel<true, norm_warps, long_slots, Source>
                             : multiply_kernel<false, norm_warps, long_slots, Source>);
    }
  }
}

NormSource norm_source(const NormInput& x) {
  if (x.cols > norm_vectors * norm_warps * 32 * vector_cols || x.cols % 4 != 0 || x.stride % 4 != 0) {
    throw base::Error(base::ErrorKind::Internal, "a norm made with a product takes at most 2,048 columns, in fours",
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
    case Format::Q4:
      return swiglu_kernel_for<gate_format, Format::Q4>(single);
    case Format::Q6:
      return swiglu_kernel_for<gate_format, Format::Q6>(single);
    case Format::F16:
      return swiglu_kernel_for<gate_format, Format::F16>(single);
    case Format::F32:
      break;
  }
  refuse_floats();
}

auto swiglu_kernel_for(Format gate_format, Format up_format, bool single) {
  switch (gate_format) {
    case Format::Q4:
      return swiglu_kernel_for<Format::Q4>(up_format, single);
    case Format::Q6:
      return swiglu_kernel_for<Format::Q6>(up_format, single);
    case Format::F16:
      return swiglu_kernel_for<Format::F16>(up_format, single);
    case Format::F32:
      break;
  }
  refuse_floats();
}

}  // namespace

bool can_multiply_few() { return current_limits().shared_bytes >= least_shared_bytes; }

void multiply_few(cudaStream_t stream, const Input& x, std::span<const OutputProduct> products, float scale) {
  const HalfSource source{x.halves, static_cast<unsigned>(x.stride), static_cast<unsigned>(x.rows)};
  multiply(stream, source, products, scale);
}

void multiply_few(cudaStream_t stream, const NormInput& x, std::span<const OutputProduct> products) {
  multiply(stream, norm_source(x), products, 1.0F);
}

void swiglu_few(cudaStream_t stream, const NormInput& x, const PackedMatrix& gate, const PackedMatrix& up,
                __half* hidden, std::size_t stride) {
  const FewPlan plan = plan_swiglu(gate, up, x.rows, current_limits());
  const auto row_tiles = static_cast<unsigned>(gate.padded_rows() / tile_rows);
  const unsigned blocks = (row_tiles + plan.block_row_tiles - 1) / plan.block_row_tiles;
  const SwigluOutput output{hidden, static_cast<unsigned>(stride), static_cast<unsigned>(gate.rows),
                            static_cast<unsigned>(x.rows)};
  launch(stream, dim3(blocks), dim3(plan.warps * 32), plan.shared_bytes,
         swiglu_kernel_for(gate.format, up.format, x.rows == 1), norm_source(x), plan.shape, gate.data, up.data,
         row_tiles, plan.block_row_tiles, output);
}

}  // namespace compute::cuda
