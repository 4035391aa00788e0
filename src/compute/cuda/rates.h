// What the GPU can do at most, measured: the two rates that every kernel is held against.
#pragma once

#include <cuda_runtime.h>

#include "compute/compute.h"

namespace compute::cuda {

// Bandwidth: a copy within the GPU's memory, bytes read and written. Operations: matrix instructions on halves with
// float sums, out of registers and shared memory, which quantised weights are multiplied with too. Takes about 0.1 s.
Rates measure_rates(cudaStream_t stream, int processors);

}  // namespace compute::cuda
