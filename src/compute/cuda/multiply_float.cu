#include "compute/cuda/multiply_float.h"

#include "compute/cuda/launch.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

constexpr unsigned warps = 8;           // of a block, each with a row of the weight
constexpr std::size_t shared_rows = 8;  // activation rows that share one pass over it

// Lane l takes columns l, l + 32, …; the lanes are summed by halves. The order depends on nothing but the number of
// columns, so a row has the same result in every batch.
__global__ void multiply_float_kernel(PackedMatrix weight, const float* x, std::size_t rows, std::size_t x_stride,
                                      float* y, std::size_t y_stride, bool add) {
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  const unsigned lane = threadIdx.x % 32;
  const std::size_t r = blockIdx.x * std::size_t{warps} + threadIdx.x / 32;
  const std::size_t first = blockIdx.y * shared_rows;
  const std::size_t count = rows - first < shared_rows ? rows - first : shared_rows;
  if (r >= weight.rows) return;
  const float* w = reinterpret_cast<const float*>(weight.data) + r * weight.cols;
  float sum[shared_rows] = {};
  for (std::size_t c = lane; c < weight.cols; c += 32) {
    const float value = w[c];
#pragma unroll
    for (std::size_t i = 0; i < shared_rows; ++i) {
      if (i < count) sum[i] = fmaf(value, x[(first + i) * x_stride + c], sum[i]);
    }
  }
#pragma unroll
  for (std::size_t i = 0; i < shared_rows; ++i) {
    for (int offset = 16; offset > 0; offset /= 2) sum[i] += __shfl_xor_sync(0xFFFFFFFFU, sum[i], offset);
    if (lane == 0 && i < count) {
      float* to = y + (first + i) * y_stride + r;
      *to = add ? *to + sum[i] : sum[i];
    }
  }
}

}  // namespace

void multiply_float(cudaStream_t stream, const PackedMatrix& weight, const float* x, std::size_t rows,
                    std::size_t x_stride, float* y, std::size_t y_stride, bool add) {
  const dim3 grid(static_cast<unsigned>((weight.rows + warps - 1) / warps),
                  static_cast<unsigned>((rows + shared_rows - 1) / shared_rows));
  launch(stream, grid, dim3(warps * 32), 0, multiply_float_kernel, weight, x, rows, x_stride, y, y_stride, add);
}

}  // namespace compute::cuda
