// Whether there is a GPU that the backend can use.
#include <cuda_runtime.h>

#include <string>

#include "compute/compute.h"
#include "compute/cuda/launch.h"

namespace compute {
namespace {

constexpr int least_major = 8;  // of compute capability: Ampere

}  // namespace

bool cuda_available(std::string* why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  int major = 0;
  if (status == cudaSuccess && count > 0) {
    cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "compute capability");
    if (major >= least_major) return true;
    if (why) *why = "the GPU is older than compute capability 8.0";
    return false;
  }
  cudaGetLastError();
  if (!why) return false;
  switch (status) {
    case cudaSuccess:
    case cudaErrorNoDevice:
      *why = "there is no NVIDIA GPU";
      break;
    case cudaErrorInsufficientDriver: {
      const int version = CUDART_VERSION;
      *why = "there is no NVIDIA driver, or an older one than CUDA " + std::to_string(version / 1000) + "." +
             std::to_string(version % 1000 / 10) + " needs";
      break;
    }
    default:
      *why = cudaGetErrorString(status);
  }
  return false;
}

}  // namespace compute
