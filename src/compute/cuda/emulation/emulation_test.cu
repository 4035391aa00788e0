// Kernels that exercise one instruction each, for emulation_test.cpp.
#include "compute/cuda/emulation/emulation_test.h"

#include "compute/cuda/launch.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda::emulation {

namespace {

std::uint32_t pack(__half low, __half high) {
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
void copy_swizzled(std::byte* to, const __half* from, unsigned rows) {
  for (unsigned i = threadIdx.x; i < rows * 8; i += blockDim.x) {
    const unsigned row = i / 8;
    const unsigned chunk = i % 8;
    ptx::copy_async(ptx::shared_address(to + row * 128 + (chunk ^ row % 8) * 16), from + row * 64 + chunk * 8);
  }
}

// One warpgroup: c [64][N] += a [64][64] · b [N][64]ᵀ.
template <int N>
__global__ void warpgroup_kernel(const __half* a, const __half* b, float* c, Mistake mistake, bool a_shared) {
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
  if (mistake != Mistake::no_arrive) ptx::warpgroup_arrive();
  for (unsigned k = 0; k < 4; ++k) {
    const std::uint64_t b_descriptor = ptx::matrix_descriptor(ptx::shared_address(b_tile) + 32 * k);
    if (a_shared) {
      const std::uint64_t a_descriptor = ptx::matrix_descriptor(ptx::shared_address(a_tile) + 32 * k);
      ptx::multiply_warpgroup<N>(d, a_descriptor, b_descriptor, true);
    } else {
      std::uint32_t pairs[4];
      for (unsigned i = 0; i < 4; ++i) {
        const __half* pair = a + (row + i % 2 * 8) * 64 + 16 * k + 2 * t + i / 2 * 8;
        pairs[i] = pack(pair[0], pair[1]);
      }
      ptx::multiply_warpgroup<N>(d, pairs, b_descriptor, true);
    }
  }
  ptx::warpgroup_commit();
  if (mistake == Mistake::sums_touched) d[0] *= 2;
  if (mistake == Mistake::operand_overwritten && threadIdx.x == 5) b_tile[77] ^= std::byte{1};
  if (mistake != Mistake::no_product_wait) ptx::warpgroup_wait<0>();
  for (int j = 0; j < N / 2; ++j) {
    c[(row + static_cast<unsigned>(j) % 4 / 2 * 8) * N + static_cast<unsigned>(j) / 4 * 8 + 2 * t +
      static_cast<unsigned>(j) % 2] = d[j];
  }
}

// Sums of the blocks' shares, by the tree of every introduction to CUDA and by shuffles.
__global__ void sum_kernel(const float* x, std::size_t count, float* sums) {
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
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void wait_kernel(Mistake mistake) {
  if (mistake == Mistake::different_barriers && threadIdx.x >= 32) {
    __syncwarp();
    __syncthreads_or(0);
    return;
  }
  if (mistake == Mistake::lane_missing && threadIdx.x == 7) {
    __syncthreads();
    return;
  }
  __syncwarp();
  __syncthreads();
}

}  // namespace

void multiply(const __half* a, const __half* b, float* c) { launch(nullptr, 1, 32, 0, multiply_kernel, a, b, c); }

void load_multiply(const __half* a, const __half* b, float* c, bool b_transposed) {
  launch(nullptr, 1, 32, 0, load_multiply_kernel, a, b, c, b_transposed);
}

void multiply_warpgroup(int n, const __half* a, const __half* b, float* c, bool a_shared, Mistake mistake) {
  const auto shared = static_cast<std::size_t>(n + 64) * 128;
  if (n == 64) launch(nullptr, 1, 128, shared, warpgroup_kernel<64>, a, b, c, mistake, a_shared);
  if (n == 256) launch(nullptr, 1, 128, shared, warpgroup_kernel<256>, a, b, c, mistake, a_shared);
}

void block_sums(const float* x, std::size_t count, float* sums, unsigned blocks) {
  launch(nullptr, blocks, 256, 0, sum_kernel, x, count, sums);
}

void wait_together(Mistake mistake) { launch(nullptr, 1, 64, 0, wait_kernel, mistake); }

}  // namespace compute::cuda::emulation
