// What CUDA C++ and its runtime give a kernel's file without any header, for the emulation on the processor: qualifiers,
// vector types, built-in variables, barriers, shuffles, atomic operations and mathematics. Only what kernels use.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <math.h>

#include "compute/cuda/emulation/types.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
// One block runs at a time. A section of their own lets them be poisoned when a block starts. alignas() comes before it.
#define __shared__ static __attribute__((section("emulated_shared")))

// The runtime, as far as code that launches kernels calls it.
using cudaStream_t = struct CUstream_st*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };
enum cudaMemcpyKind {
  cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault
};
inline const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "invalid argument"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t = nullptr) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t = nullptr) {
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

#include "compute/cuda/emulation/machine.h"

#define threadIdx (::compute::cuda::emulation::current_thread().index)
#define blockIdx (::compute::cuda::emulation::block_index)
#define blockDim (::compute::cuda::emulation::block_size)
#define gridDim (::compute::cuda::emulation::grid_size)
inline constexpr int warpSize = 32;

#include "compute/cuda/emulation/intrinsics.h"
