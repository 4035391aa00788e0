// The products of many rows (products.h) with a choice of instructions and of how the work is cut.
#pragma once

#include "compute/cuda/products.h"

namespace compute::cuda {

// Matrix products of a single warp (mma, compute capability 8.0 and later) or asynchronous ones of four warps together
// (wgmma, compute capability 9.0 only).
enum class Instructions { Warp, Warpgroup };

// How the work is cut: tiles of `rows` rows of activations (32, 64 or 128) and 128 * strips weight rows (strips 1, or 2
// where no weight is F16), and the columns in `splits` (1 to 16); products of single warps have only tiles of 64 rows
// and one strip. Zero in `rows`: as is best by the kernel's own model. What cannot be is refused with a base::Error.
struct ManyPlan {
  unsigned rows = 0;
  unsigned strips = 1;
  unsigned splits = 1;
};

// The best that the current device has.
Instructions matrix_instructions();

void multiply_many(cudaStream_t stream, const Input& x, std::span<const OutputProduct> products, float scale,
                   void* workspace, Instructions instructions, ManyPlan plan = {});
void swiglu_many(cudaStream_t stream, const Input& x, const PackedMatrix& gate, const PackedMatrix& up, __half* hidden,
                 std::size_t stride, void* workspace, Instructions instructions, ManyPlan plan = {});

}  // namespace compute::cuda
