// Products in float, for weights that are kept as floats: exact in structure, not made for speed.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "compute/cuda/packed.h"

namespace compute::cuda {

// y[i][r] (+)= Σ_c weight[r][c] x[i][c]; weight.format is F32. Strides in floats.
void multiply_float(cudaStream_t stream, const PackedMatrix& weight, const float* x, std::size_t rows,
                    std::size_t x_stride, float* y, std::size_t y_stride, bool add);

}  // namespace compute::cuda
