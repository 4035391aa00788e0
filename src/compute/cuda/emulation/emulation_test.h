// Kernels for the test of the emulation itself.
#pragma once

#include <cuda_fp16.h>

#include <cstddef>

namespace compute::cuda::emulation {

enum class Mistake {
  none,
  no_copy_wait,
  no_proxy_fence,
  no_arrive,
  sums_touched,
  operand_overwritten,
  no_product_wait,
  different_barriers,
  lane_missing,
};

// c [16][8] += a [16][16] · b [16][8], with mma.
void multiply(const __half* a, const __half* b, float* c);
// c = a · b with operands through ldmatrix: b as it is and loaded with .trans, or transposed before.
void load_multiply(const __half* a, const __half* b, float* c, bool b_transposed);
// c [64][n] += a [64][64] · b [n][64]ᵀ with wgmma, n 64 or 256.
void multiply_warpgroup(int n, const __half* a, const __half* b, float* c, bool a_shared, Mistake mistake);
void block_sums(const float* x, std::size_t count, float* sums, unsigned blocks);
void wait_together(Mistake mistake);

}  // namespace compute::cuda::emulation
