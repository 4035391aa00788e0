// The products of many rows (products.h) with a choice of instructions.
#pragma once

#include "compute/cuda/products.h"

namespace compute::cuda {

// Matrix products of a single warp (mma, compute capability 8.0 and later) or asynchronous ones of four warps together
// (wgmma, compute capability 9.0 only).
enum class Instructions { Warp, Warpgroup };

// The best that the current device has.
Instructions matrix_instructions();

void multiply_many(cudaStream_t stream, const Input& x, std::span<const OutputProduct> products, float scale,
                   void* workspace, Instructions instructions);
void swiglu_many(cudaStream_t stream, const Input& x, const PackedMatrix& gate, const PackedMatrix& up, __half* hidden,
                 std::size_t stride, void* workspace, Instructions instructions);

}  // namespace compute::cuda
