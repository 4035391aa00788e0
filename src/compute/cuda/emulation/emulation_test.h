// Kernels for the test of the emulation itself.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

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
  operand_refilled,
  different_barriers,
  lane_missing,
  lane_outside_mask,
  address_outside,
  address_misaligned,
  global_misaligned,
};

// c [16][8] += a [16][16] · b [16][8], with mma.
void multiply(const __half* a, const __half* b, float* c);
// c = a · b with operands through ldmatrix: b as it is and loaded with .trans, or transposed before.
void load_multiply(const __half* a, const __half* b, float* c, bool b_transposed);
// c [64][n] += a [64][64] · b [n][64]ᵀ with wgmma, n 64 or 256; `a_shared` (n 64 only): a from shared memory.
void multiply_warpgroup(int n, const __half* a, const __half* b, float* c, bool a_shared, Mistake mistake);
// Two groups of wgmma: what 128 threads find of the first sums of each, {first, second}, once at most one group, and
// once none is under way.
void multiply_in_groups(float* after_one, float* after_all, Mistake mistake);
// A block's share of the sum of x, in `blocks` blocks; the last to end adds the shares up.
void block_sums(const float* x, std::size_t count, float* sums, float* total, unsigned* ended, unsigned blocks);
// reversed[i] = x[255 - i] for each of 2 blocks' 256 numbers.
void reverse(const float* x, float* reversed, bool with_barrier);
// counts[index of the thread in the grid] += 1
void count_threads(unsigned* counts, dim3 grid, dim3 block);

// What one lane saw of each function on the lanes of its warp.
struct LaneResults {
  int from_5, from_1_of_8, xor_3, up_2, down_3_of_16, sum_of_even, ended_lanes_sum;
  unsigned ballot;
  bool any, all;
};
// For `threads` threads, of which number i has value i * i; those with i % 32 >= 24 end before the last sum.
void use_lanes(unsigned threads, LaneResults* results);

// Two groups of cp.async: what 64 threads find of {first, second} once at most one group, and once none is under way;
// the second group fills with zeros in odd threads.
void copy_in_groups(const float4* first, const float4* second, float4* after_one, float4* after_all);
void make_mistake(Mistake mistake);

}  // namespace compute::cuda::emulation
