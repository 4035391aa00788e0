#include "compute/cuda/rates.h"

#include <algorithm>
#include <functional>

#include "compute/cuda/launch.h"
#include "compute/cuda/memory.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

constexpr int warmups = 2;
constexpr int runs = 5;
constexpr unsigned warps = 8;  // of a block of matrix instructions: two warpgroups

// Seconds of the fastest of some runs.
double fastest(cudaStream_t stream, const std::function<void()>& work) {
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  float best = 1e9F;
  for (int run = 0; run < warmups + runs; ++run) {
    check(cudaEventRecord(begin, stream), "event");
    work();
    check(cudaEventRecord(end, stream), "event");
    check(cudaEventSynchronize(end), "event");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    if (run >= warmups) best = std::min(best, milliseconds);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return best / 1e3;
}

// Both operands are random bits of numbers from 1 to 2: zeros would need less power and run faster.
__device__ std::uint32_t random_halves(std::uint32_t seed) {
  const std::uint32_t mixed = seed * 2654435761U;
  return 0x3C003C00U | ((mixed ^ mixed >> 15) & 0x03FF03FFU);
}

#if __CUDA_ARCH__ == 900
__global__ void __launch_bounds__(warps * 32) matrix_kernel(int rounds, float* out) {
  auto* shared = reinterpret_cast<std::uint32_t*>(ptx::dynamic_shared());
  for (unsigned i = threadIdx.x; i < 256 * 32; i += blockDim.x) shared[i] = random_halves(i);
  ptx::fence_async_shared();
  __syncthreads();
  const std::uint32_t a[4] = {random_halves(threadIdx.x), random_halves(threadIdx.x + 999),
                              random_halves(threadIdx.x + 1999), random_halves(threadIdx.x + 2999)};
  float sum[128] = {};
  const std::uint64_t b = ptx::matrix_descriptor(ptx::shared_address(shared));
  ptx::warpgroup_arrive();
  for (int i = 0; i < rounds; ++i) {
    ptx::multiply_warpgroup<256>(sum, a, b, true);
    ptx::warpgroup_commit();
  }
  ptx::warpgroup_wait<0>();
  float total = 0;
  for (const float s : sum) total += s;
  out[blockIdx.x * blockDim.x + threadIdx.x] = total;
}
#else
__global__ void matrix_kernel(int rounds, float* out) {
  const std::uint32_t a[4] = {random_halves(threadIdx.x), random_halves(threadIdx.x + 999),
                              random_halves(threadIdx.x + 1999), random_halves(threadIdx.x + 2999)};
  const std::uint32_t b[2] = {random_halves(threadIdx.x + 3999), random_halves(threadIdx.x + 4999)};
  float sum[8][4] = {};
  for (int i = 0; i < rounds; ++i) {
#pragma unroll
    for (int j = 0; j < 8; ++j) ptx::multiply(sum[j], a, b);
  }
  float total = 0;
  for (const auto& four : sum) total += four[0] + four[1] + four[2] + four[3];
  out[blockIdx.x * blockDim.x + threadIdx.x] = total;
}
#endif

// Of one round of a block of matrix_kernel, on the GPU at hand.
double round_operations(bool warpgroups) {
  return warpgroups ? 2.0 * 2 * 64 * 256 * 16 : 2.0 * warps * 8 * 16 * 8 * 16;
}

}  // namespace

Rates measure_rates(cudaStream_t stream, int processors) {
  int device = 0;
  int major = 0;
  check(cudaGetDevice(&device), "device");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "device");

  Rates rates;
  std::size_t available = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&available, &total), "memory");
  const std::size_t bytes = std::min<std::size_t>(std::size_t{1} << 30, available / 4);
  const DeviceMemory from(bytes);
  const DeviceMemory to(bytes);
  check(cudaMemset(from.as(), 0x5A, bytes), "memory");
  const double copying = fastest(
      stream, [&] { check(cudaMemcpyAsync(to.as(), from.as(), bytes, cudaMemcpyDeviceToDevice, stream), "copy"); });
  rates.bytes_per_second = 2 * static_cast<double>(bytes) / copying;

  const bool warpgroups = major == 9;
  const unsigned blocks = static_cast<unsigned>(processors) * (warpgroups ? 1 : 4);
  constexpr int rounds = 20000;
  const double multiplying = fastest(stream, [&] {
    launch(stream, dim3(blocks), dim3(warps * 32), 256 * 128, matrix_kernel, rounds, to.as<float>());
  });
  rates.float_per_second = blocks * round_operations(warpgroups) * rounds / multiplying;
  rates.int8_per_second = rates.float_per_second;
  rates.instructions = warpgroups ? "wgmma" : "mma";
  return rates;
}

}  // namespace compute::cuda
