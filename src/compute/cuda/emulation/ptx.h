// The functions of compute/cuda/ptx.h and compute/cuda/wgmma.h, carried out on the processor.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "compute/cuda/emulation/machine.h"

namespace compute::cuda::ptx {

inline std::byte* dynamic_shared() { return emulation::dynamic_memory(); }
inline std::uint32_t shared_address(const void* pointer) { return emulation::address_of(pointer); }

inline void copy_async(std::uint32_t to, const void* from, bool valid = true) {
  emulation::copy_async(to, from, valid);
}
inline void copy_async_commit() { emulation::copy_async_commit(); }
template <int pending>
void copy_async_wait() {
  emulation::copy_async_wait(pending);
}

namespace detail {

void load_matrices(std::uint32_t address, std::uint32_t (&r)[4], bool transposed);

}  // namespace detail

inline void prefetch_l2(const void*) {}

inline void load_matrices(std::uint32_t address, std::uint32_t (&r)[4]) { detail::load_matrices(address, r, false); }
inline void load_matrices_transposed(std::uint32_t address, std::uint32_t (&r)[4]) {
  detail::load_matrices(address, r, true);
}
void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);

inline float exponential2(float x) {
  const float y = std::exp2(x);
  return y < 0x1p-126F ? 0 : y;
}

inline void wait_for_dependencies() {}
inline void launch_dependents() {}

inline void fence_async_shared() { emulation::fence_async_shared(); }
inline void warpgroup_arrive() { emulation::warpgroup_arrive(); }
inline void warpgroup_commit() { emulation::warpgroup_commit(); }
template <int pending>
void warpgroup_wait() {
  emulation::warpgroup_wait(pending);
}
inline std::uint64_t matrix_descriptor(std::uint32_t shared_address) {
  if (shared_address >= 1U << 18) emulation::fail("operands of wgmma must lie in dynamic shared memory");
  return shared_address >> 4 | std::uint64_t{1} << 16 | std::uint64_t{1024 >> 4} << 32 | std::uint64_t{1} << 62;
}
template <int N>
void multiply_warpgroup(float (&d)[N / 2], const std::uint32_t (&a)[4], std::uint64_t b, bool accumulate) {
  emulation::multiply_warpgroup(N, d, a, 0, b, accumulate);
}
template <int N>
void multiply_warpgroup(float (&d)[N / 2], std::uint64_t a, std::uint64_t b, bool accumulate) {
  emulation::multiply_warpgroup(N, d, nullptr, a, b, accumulate);
}

}  // namespace compute::cuda::ptx
