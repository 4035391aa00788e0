// Kernels run on the processor. How to test one:
//
//   1. The kernel's file (say norm.cu) includes "compute/cuda/ptx.h" and "compute/cuda/launch.h", uses PTX only through
//      ptx:: and starts kernels only with launch(). Kernels with __shared__ variables stand in an anonymous namespace
//      (alignas before __shared__, or __align__ after); dynamic shared memory is ptx::dynamic_shared(). A loop that
//      waits for another thread's store never ends here.
//   2. norm_test.cpp is an ordinary GoogleTest file that includes norm.h and calls its functions with pointers to host
//      memory (std::vector; 16-byte loads want 16-byte alignment: allocated memory has it) and with stream nullptr;
//      the call returns when the grid has been carried out.
//   3. src/compute/cuda/CMakeLists.txt: norm.cu among the kernels that smollm3_cuda_emulated_kernels() wraps, and
//      smollm3_test(cuda_norm_test SOURCES norm_test.cpp DEPS smollm3_cuda_emulated)
//      By hand: g++ -std=c++20 -O2 -g -DSMOLLM3_EMULATE_CUDA -fno-strict-aliasing -Wno-unknown-pragmas -Isrc
//      -Isrc/compute/cuda/emulation/toolkit -x c++ norm.cu norm_test.cpp src/base/error.cpp
//      src/compute/cuda/emulation/{fiber,machine,matrix,runtime}.cpp -x none -lgtest -lgtest_main   (emulation/toolkit/
//      takes the place of the CUDA toolkit)
//
// What stops the program, with block and thread: threads that wait at different barriers or instructions, shared
// addresses outside the block's memory or misaligned, cp.async from misaligned global memory, wgmma without
// warpgroup_arrive(), whose sums are touched or whose B is overwritten before warpgroup_wait(), or that reads what
// cp.async brought without fence_async_shared(), a descriptor without the 128-byte swizzle.
// What shows as NaN (bytes of 0xFF): shared memory before it is written, data of cp.async before copy_async_wait(),
// sums of wgmma before warpgroup_wait(), results of lanes that don't take part in a shuffle. What is not found: races
// between blocks, and some missing barriers inside one. Threads run until they wait, in every other block of the
// program from the last to the first, and in two of four a whole warp at a time: launch a kernel with four blocks or
// four times, and a missing barrier mostly shows.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <tuple>
#include <utility>

#include "compute/cuda/emulation/machine.h"

namespace compute::cuda {

// As the GPU's launch(), but returns when the kernel has ended.
template <typename... Parameters, typename... Arguments>
void launch(cudaStream_t, dim3 grid, dim3 block, std::size_t shared, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  const std::tuple<Parameters...> parameters{static_cast<Parameters>(std::forward<Arguments>(arguments))...};
  emulation::launch_or_capture(
      [=] { emulation::run_grid(grid, block, shared, [&] { std::apply(kernel, parameters); }); });
}

}  // namespace compute::cuda
