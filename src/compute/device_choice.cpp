#include "base/error.h"
#include "compute/compute.h"

namespace compute {

#ifdef SMOLLM3_CUDA

ChosenDevice make_device(DeviceKind kind, int threads) {
  if (kind == DeviceKind::Cpu) return {make_cpu_device(threads), {}};
  std::string why;
  if (cuda_available(&why)) return {make_cuda_device(threads), {}};
  if (kind == DeviceKind::Auto) return {make_cpu_device(threads), "Computing on the CPU, since " + why + "."};
  throw base::Error(base::ErrorKind::Resource, "--device cuda", why, "--device cpu computes on the CPU");
}

#else

ChosenDevice make_device(DeviceKind kind, int threads) {
  if (kind != DeviceKind::Cuda) return {make_cpu_device(threads), {}};
  throw base::Error("--device cuda", "this program was built without CUDA",
                    "build it with -DSMOLLM3_CUDA=ON, or compute on the CPU with --device cpu");
}

#endif

Precision prompt_precision(const Device& device, bool exact) {
  return device.has_fast_mode() && !exact ? Precision::Fast : Precision::Exact;
}

std::string mode(const Device& device, Precision precision) {
  return device.exact() && precision == Precision::Exact ? "exact" : "fast";
}

}  // namespace compute
