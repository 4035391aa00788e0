// Kernels that exercise one instruction each, for emulation_test.cpp.
#include "compute/cuda/emulation/emulation_test.h"

#include "compute/cuda/launch.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda::emulation {

namespace {

__device__ std::uint32_t pack(__half low, __half high) {
  return static_cast<std::uint32_t>(__half_as_ushort(low)) | static_cast<std::uint32_t>(__half_as_ushort(high)) << 16;
}

// One warp: c = a b, a [16][16], b [16][8].
__global__ void multiply_kernel(const __half* a, const __half* b, float* c) {
  const unsigned g = threadIdx.x / 4;
  const unsigned t = threadIdx.x % 4;
  std::uint32_t a_pairs[4];
  std::uint32_t b_pairs[2];
  for (unsigned i = 0; i < 4; ++i) {
    const __half* pair = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
    a_pairs[i] = pack(pair[0], pair[1]);
  }
  for (unsigned i = 0; i < 2; ++i) b_pairs[i] = pack(b[(2 * t + 8 * i) * 8 + g], b[(2 * t + 8 * i + 1) * 8 + g]);
  float d[4] = {};
  ptx::multiply(d, a_pairs, b_pairs);
  for (unsigned i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] += d[i];
}

// One warp: a [16][16] and b [8][16] (transposed) through shared memory and ldmatrix.
__global__ void load_multiply_kernel(const __half* a, const __half* b, float* c, bool b_transposed) {
  alignas(16) __shared__ __half a_shared[16][16];
  alignas(16) __shared__ __half b_shared[16][16];
  const unsigned lane = threadIdx.x;
  for (unsigned i = lane; i < 256; i += 32) a_shared[i / 16][i % 16] = a[i];
  for (unsigned i = lane; i < 128; i += 32) {
    if (b_transposed) {
      b_shared[i % 8][i / 8] = b[i];  // [n][k]
    } else {
      b_shared[i / 8][i % 8] = b[i];  // [k][n]
    }
  }
  __syncwarp();
  std::uint32_t a_pairs[4];
  std::uint32_t b_pairs[4];
  ptx::load_matrices(ptx::shared_address(&a_shared[lane % 16][lane / 16 * 8]), a_pairs);
  if (b_transposed) {
    ptx::load_matrices(ptx::shared_address(&b_shared[lane % 8][lane / 8 % 2 * 8]), b_pairs);
  } else {
    ptx::load_matrices_transposed(ptx::shared_address(&b_shared[lane % 16][0]), b_pairs);
  }
  float d[4] = {};
  const std::uint32_t b_first[2] = {b_pairs[0], b_pairs[1]};
  ptx::multiply(d, a_pairs, b_first);
  for (unsigned i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * 8 + 2 * (lane % 4) + i % 2] = d[i];
}

// [rows][64] halves to shared memory with the 128-byte swizzle, by cp.async.
__device__ void copy_swizzled(std::byte* to, const __half* from, unsigned rows) {
  for (unsigned i = threadIdx.x; i < rows * 8; i += blockDim.x) {
    const unsigned row = i / 8;
    const unsigned chunk = i % 8;
    ptx::copy_async(ptx::shared_address(to + row * 128 + (chunk ^ row % 8) * 16), from + row * 64 + chunk * 8);
  }
}

// One warpgroup: c [64][N] += a [64][64] · b [N][64]ᵀ.
template <int N, bool a_shared>
__global__ void warpgroup_kernel(const __half* a, const __half* b, float* c, Mistake mistake) {
  std::byte* const b_tile = ptx::dynamic_shared();
  std::byte* const a_tile = b_tile + N * 128;
  copy_swizzled(b_tile, b, N);
  copy_swizzled(a_tile, a, 64);
  ptx::copy_async_commit();
  if (mistake != Mistake::no_copy_wait) ptx::copy_async_wait<0>();
  if (mistake != Mistake::no_proxy_fence) ptx::fence_async_shared();
  __syncthreads();
  const unsigned row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
  const unsigned t = threadIdx.x % 4;
  float d[N / 2];
  for (int j = 0; j < N / 2; ++j) {
    d[j] = c[(row + static_cast<unsigned>(j) % 4 / 2 * 8) * N + static_cast<unsigned>(j) / 4 * 8 + 2 * t +
             static_cast<unsigned>(j) % 2];
  }
  std::uint32_t a_pairs[4][4];
  for (unsigned k = 0; k < 4; ++k) {
    for (unsigned i = 0; i < 4; ++i) {
      const __half* pair = a + (row + i % 2 * 8) * 64 + 16 * k + 2 * t + i / 2 * 8;
      a_pairs[k][i] = pack(pair[0], pair[1]);
    }
  }
  if (mistake != Mistake::no_arrive) ptx::warpgroup_arrive();
  for (unsigned k = 0; k < 4; ++k) {
    const std::uint64_t b_descriptor = ptx::matrix_descriptor(ptx::shared_address(b_tile) + 32 * k);
    if constexpr (a_shared) {
      const std::uint64_t a_descriptor = ptx::matrix_descriptor(ptx::shared_address(a_tile) + 32 * k);
      ptx::multiply_warpgroup<N>(d, a_descriptor, b_descriptor, true);
    } else {
      ptx::multiply_warpgroup<N>(d, a_pairs[k], b_descriptor, true);
    }
  }
  ptx::warpgroup_commit();
  if (mistake == Mistake::sums_touched) d[0] *= 2;
  if (mistake == Mistake::operand_overwritten && threadIdx.x == 5) reinterpret_cast<unsigned char*>(b_tile)[77] ^= 1;
  if (mistake != Mistake::no_product_wait) ptx::warpgroup_wait<0>();
  for (int j = 0; j < N / 2; ++j) {
    c[(row + static_cast<unsigned>(j) % 4 / 2 * 8) * N + static_cast<unsigned>(j) / 4 * 8 + 2 * t +
      static_cast<unsigned>(j) % 2] = d[j];
  }
}

// One warpgroup, two groups of products with sums of their own, [2][128 threads]: of ones in a and twos in b.
__global__ void group_kernel(float* after_one, float* after_all, Mistake mistake) {
  auto* const b_tile = reinterpret_cast<__half*>(ptx::dynamic_shared());
  for (unsigned i = threadIdx.x; i < 8 * 64; i += 128) b_tile[i] = __float2half(2);
  ptx::fence_async_shared();
  __syncthreads();
  const std::uint32_t one = pack(__float2half(1), __float2half(1));
  const std::uint32_t a[4] = {one, one, one, one};
  const std::uint32_t address = ptx::shared_address(b_tile);
  float first[4] = {};
  float second[4] = {};
  ptx::warpgroup_arrive();
  ptx::multiply_warpgroup<8>(first, a, ptx::matrix_descriptor(address), false);
  ptx::multiply_warpgroup<8>(first, a, ptx::matrix_descriptor(address + 32), true);
  ptx::warpgroup_commit();
  ptx::multiply_warpgroup<8>(second, a, ptx::matrix_descriptor(address + 64), false);
  ptx::warpgroup_commit();
  if (mistake == Mistake::operand_refilled) ptx::copy_async(address, after_one);
  ptx::warpgroup_wait<1>();
  after_one[threadIdx.x] = first[0];
  after_one[128 + threadIdx.x] = second[0];
  ptx::warpgroup_wait<0>();
  after_all[threadIdx.x] = first[0];
  after_all[128 + threadIdx.x] = second[0];
}

// By the tree of every introduction to CUDA, then by shuffles.
__global__ void sum_kernel(const float* x, std::size_t count, float* sums, float* total, unsigned* ended) {
  __shared__ float shared[256];
  float own = 0;
  for (std::size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) own += x[i];
  shared[threadIdx.x] = own;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half >= 32; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x >= 32) return;
  float sum = shared[threadIdx.x];
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(~0U, sum, bits);
  if (threadIdx.x != 0) return;
  sums[blockIdx.x] = sum;
  __threadfence();
  if (atomicInc(ended, gridDim.x - 1) != gridDim.x - 1) return;
  *total = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) *total += __ldcg(&sums[i]);
}

__global__ void reverse_kernel(const float* x, float* reversed, bool with_barrier) {
  __shared__ float shared[256];
  shared[threadIdx.x] = x[blockIdx.x * 256 + threadIdx.x];
  if (with_barrier) __syncthreads();
  reversed[blockIdx.x * 256 + threadIdx.x] = shared[255 - threadIdx.x];
}

__global__ void count_kernel(unsigned* counts) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  atomicAdd(&counts[block * blockDim.x * blockDim.y * blockDim.z + thread], 1U);
}

__global__ void lane_kernel(LaneResults* results) {
  const auto value = static_cast<int>(threadIdx.x * threadIdx.x);
  LaneResults& mine = results[threadIdx.x];
  const unsigned lane = threadIdx.x % 32;
  mine.from_5 = __shfl_sync(~0U, value, 5);
  mine.from_1_of_8 = __shfl_sync(~0U, value, 1, 8);
  mine.xor_3 = __shfl_xor_sync(~0U, value, 3);
  mine.up_2 = __shfl_up_sync(~0U, value, 2);
  mine.down_3_of_16 = __shfl_down_sync(~0U, value, 3, 16);
  mine.ballot = __ballot_sync(~0U, value % 3 == 1);
  mine.any = __any_sync(~0U, lane == 7) != 0;
  mine.all = __all_sync(~0U, lane != 7) != 0;
  // Each half of the lanes by itself: both wait at the same instruction with other masks.
  mine.sum_of_even = __reduce_add_sync(lane % 2 == 0 ? 0x55555555U : 0xAAAAAAAAU, lane % 2 == 0 ? value : 0);
  // Those that remain wait, and the last that they waited for ends.
  if (lane >= 24) return;
  mine.ended_lanes_sum = __reduce_add_sync(~0U, value);
}

__global__ void copy_kernel(const float4* first, const float4* second, float4* after_one, float4* after_all) {
  auto* const memory = reinterpret_cast<float4*>(ptx::dynamic_shared());
  const unsigned i = threadIdx.x;
  ptx::copy_async(ptx::shared_address(&memory[i]), &first[i]);
  ptx::copy_async_commit();
  ptx::copy_async(ptx::shared_address(&memory[64 + i]), &second[i], i % 2 == 0);
  ptx::copy_async_commit();
  ptx::copy_async_wait<1>();
  __syncthreads();
  after_one[i] = memory[i ^ 1];
  after_one[64 + i] = memory[64 + (i ^ 1)];
  __syncthreads();
  ptx::copy_async_wait<0>();
  __syncthreads();
  after_all[i] = memory[i ^ 1];
  after_all[64 + i] = memory[64 + (i ^ 1)];
}

__global__ void mistaken_kernel(Mistake mistake) {
  const std::uint32_t memory = ptx::shared_address(ptx::dynamic_shared());
  std::uint32_t r[4];
  switch (mistake) {
    case Mistake::different_barriers:
      if (threadIdx.x >= 32) {
        __syncthreads_or(0);
      } else {
        __syncthreads();
      }
      break;
    case Mistake::lane_missing:
      if (threadIdx.x == 7) {
        __syncthreads();
      } else {
        __syncwarp();
        __syncthreads();
      }
      break;
    case Mistake::lane_outside_mask:
      __syncwarp(0xFF);
      break;
    case Mistake::address_outside:
      ptx::load_matrices(memory + threadIdx.x % 32 * 32, r);
      break;
    case Mistake::address_misaligned:
      ptx::load_matrices(memory + threadIdx.x % 32 * 8, r);
      break;
    case Mistake::global_misaligned:
      ptx::copy_async(memory, reinterpret_cast<const void*>(std::uintptr_t{24}));
      break;
    default:
      break;
  }
}

}  // namespace

void multiply(const __half* a, const __half* b, float* c) { launch(nullptr, 1, 32, 0, multiply_kernel, a, b, c); }

void load_multiply(const __half* a, const __half* b, float* c, bool b_transposed) {
  launch(nullptr, 1, 32, 0, load_multiply_kernel, a, b, c, b_transposed);
}

void multiply_warpgroup(int n, const __half* a, const __half* b, float* c, bool a_shared, Mistake mistake) {
  const auto shared = static_cast<std::size_t>(n + 64) * 128;
  if (n == 256) {
    launch(nullptr, 1, 128, shared, warpgroup_kernel<256, false>, a, b, c, mistake);
  } else if (a_shared) {
    launch(nullptr, 1, 128, shared, warpgroup_kernel<64, true>, a, b, c, mistake);
  } else {
    launch(nullptr, 1, 128, shared, warpgroup_kernel<64, false>, a, b, c, mistake);
  }
}

void multiply_in_groups(float* after_one, float* after_all, Mistake mistake) {
  launch(nullptr, 1, 128, 1024, group_kernel, after_one, after_all, mistake);
}

void block_sums(const float* x, std::size_t count, float* sums, float* total, unsigned* ended, unsigned blocks) {
  launch(nullptr, blocks, 256, 0, sum_kernel, x, count, sums, total, ended);
}

void reverse(const float* x, float* reversed, bool with_barrier) {
  launch(nullptr, 2, 256, 0, reverse_kernel, x, reversed, with_barrier);
}

void count_threads(unsigned* counts, dim3 grid, dim3 block) { launch(nullptr, grid, block, 0, count_kernel, counts); }

void use_lanes(unsigned threads, LaneResults* results) { launch(nullptr, 1, threads, 0, lane_kernel, results); }

void copy_in_groups(const float4* first, const float4* second, float4* after_one, float4* after_all) {
  launch(nullptr, 1, 64, 2048, copy_kernel, first, second, after_one, after_all);
}

void make_mistake(Mistake mistake) { launch(nullptr, 1, 64, 512, mistaken_kernel, mistake); }

}  // namespace compute::cuda::emulation
