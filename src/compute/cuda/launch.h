// How kernels are started: every launch goes through here, so that each may begin before the one in front of it has
// ended (programmatic dependent launch) and so that the emulation can take its place.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>
#include <utility>

#include "base/error.h"

namespace compute::cuda {

// Throws base::Error with CUDA's own words if a call failed.
inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess)
    throw base::Error(base::ErrorKind::Resource, std::string("CUDA: ") + what, cudaGetErrorString(status));
}

// Multiprocessors of the current device.
inline unsigned multiprocessors() {
  int device = 0;
  int count = 0;
  check(cudaGetDevice(&device), "current device");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "multiprocessors");
  return static_cast<unsigned>(count);
}

#ifndef SMOLLM3_EMULATE_CUDA

// Whether kernels may begin before the one in front has ended: only code for Hopper waits for it then.
inline bool begins_early() {
  static const bool hopper = [] {
    int device = 0;
    int major = 0;
    check(cudaGetDevice(&device), "current device");
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "compute capability");
    return major == 9;
  }();
  return hopper;
}

// Starts a kernel whose first statement that touches anything another kernel wrote comes after
// ptx::wait_for_dependencies(). `shared`: bytes of dynamic shared memory.
template <typename... Parameters, typename... Arguments>
void launch(cudaStream_t stream, dim3 grid, dim3 block, std::size_t shared, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  if (shared > 48 * 1024) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)),
          "shared memory");
  }
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  config.attrs = &early;
  config.numAttrs = begins_early() ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...), "launch");
}

#endif

}  // namespace compute::cuda

#ifdef SMOLLM3_EMULATE_CUDA
#include "compute/cuda/emulation/launch.h"
#endif
