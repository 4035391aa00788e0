// The instructions that CUDA C++ has no function for: asynchronous copies into shared memory, matrix products of a warp
// and of a warpgroup, and what lets a kernel begin before the one in front of it has ended. Names and operand orders
// are those of the PTX ISA (version 9.0), whose sections are named. What an older GPU lacks is done by what it has.
//
// With SMOLLM3_EMULATE_CUDA the same functions are carried out on the processor (emulation/), so that kernels can be
// tested where there is no GPU.
#pragma once

#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>

#ifdef SMOLLM3_EMULATE_CUDA
#include "compute/cuda/emulation/ptx.h"
#else

namespace compute::cuda::ptx {

// All of the block's dynamic shared memory; its start is aligned to 1,024 bytes.
__device__ inline std::byte* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char memory[];
  return reinterpret_cast<std::byte*>(memory);
}

// The address of something in shared memory as instructions take it.
__device__ inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// 9.7.9.25.3, cp.async: 16 bytes from global to shared memory, both aligned to 16; zeros where `valid` is false.
// Below sm_80 the copy has been made when the function returns.
__device__ inline void copy_async(std::uint32_t to, const void* from, bool valid = true) {
#if __CUDA_ARCH__ >= 800
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
#else
  const uint4 v = valid ? *static_cast<const uint4*>(from) : uint4{0, 0, 0, 0};
  asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
#endif
}
__device__ inline void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits until at most `pending` of the groups this thread committed last are under way.
template <int pending>
__device__ inline void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

__device__ inline void prefetch_l2(const void* address) { asm volatile("prefetch.global.L2 [%0];" ::"l"(address)); }

// 9.7.14.5.15, ldmatrix: four 8 x 8 matrices of halves; lane l gives the address of row l % 8 of matrix l / 8 and gets
// of each matrix the pair at row lane / 4, columns 2 (lane % 4) and the next.
__device__ inline void load_matrices(std::uint32_t address, std::uint32_t (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ inline void load_matrices_transposed(std::uint32_t address, std::uint32_t (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// 9.7.14.5.8, mma.m16n8k16: d += a · b, halves with float sums. a: rows lane / 4 and that + 8; see "Matrix Fragments".
__device__ inline void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  for (int half = 0; half < 2; ++half) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
  }
#endif
}

// 9.7.3.21, ex2: 2 to the power of x to 2 ulp; 0 instead of subnormal results, NaN stays.
__device__ inline float exponential2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Programmatic dependent launch (griddepcontrol). wait_for_dependencies(): until the kernels this one depends on have
// ended and their writes are seen. launch_dependents(): the kernels that depend on this one may be started. Below sm_90
// kernels follow one another in any case.
__device__ inline void wait_for_dependencies() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ inline void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace compute::cuda::ptx

#include "compute/cuda/wgmma.h"

#endif
