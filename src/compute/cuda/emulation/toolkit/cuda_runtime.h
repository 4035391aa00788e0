// What CUDA C++ and its runtime give a kernel's file without any header, for the emulation on the processor:
// qualifiers, vector types, built-in variables, barriers, shuffles, atomic operations and mathematics. Only what
// kernels use.
#pragma once

#include <math.h>
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "compute/cuda/emulation/types.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
// One block runs at a time. A section of their own lets them be poisoned when a block starts. alignas() comes before
// it.
#define __shared__ static __attribute__((section("emulated_shared")))

#include "compute/cuda/emulation/machine.h"
#include "compute/cuda/emulation/runtime.h"

#define threadIdx (::compute::cuda::emulation::current_thread().index)
#define blockIdx (::compute::cuda::emulation::block_index)
#define blockDim (::compute::cuda::emulation::block_size)
#define gridDim (::compute::cuda::emulation::grid_size)
inline constexpr int warpSize = 32;

#include "compute/cuda/emulation/intrinsics.h"
