// Products of activations in binary16 with packed weights: two kernels, one for a few rows that runs at the speed of
// memory, one for many that runs at the speed of the matrix units; and products in float for F32 weights.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <span>

#include "compute/cuda/packed.h"

namespace compute::cuda {

// Rows of activations in the device's memory. Halves: the starts of rows are `stride` apart, a multiple of 64 and at
// least the weight's padded columns; what is beyond the weight's columns is zero.
struct Input {
  std::size_t rows = 0;
  const __half* halves = nullptr;
  std::size_t stride = 0;
};

// A float input that has yet to be normalised: x / sqrt(mean(x²) + epsilon) * gain.
struct NormInput {
  std::size_t rows = 0;
  std::size_t cols = 0;
  const float* x = nullptr;
  std::size_t stride = 0;
  const float* gain = nullptr;
  float epsilon = 0;
};

// y[i][r] (+)= scale * Σ_c weight[r][c] x[i][c], y's rows `stride` floats apart.
struct OutputProduct {
  PackedMatrix weight;
  float* y = nullptr;
  std::size_t stride = 0;
  bool add = false;
};

// Hidden activations of SwiGLU are kept divided by this, so that those of real models stay far from binary16's largest
// number: hidden = silu(gate) * up / hidden_divisor, and the product with `down` is scaled back.
inline constexpr float hidden_divisor = 64;

// Few rows: at most `few_rows`.
inline constexpr std::size_t few_rows = 8;
// Whether the current device has the shared memory for it: compute capability 8.0 and 9.0 have, 8.6 and 8.9 have not.
bool can_multiply_few();
// All products have the same input, cols and format F16, Q4 or Q6 (may differ from product to product).
void multiply_few(cudaStream_t stream, const Input& x, std::span<const OutputProduct> products, float scale);
// The same with the norm made on the way. cols at most most_norm_cols and, as stride, a multiple of 4; x and gain
// aligned to 16 bytes.
inline constexpr std::size_t most_norm_cols = 2048;
void multiply_few(cudaStream_t stream, const NormInput& x, std::span<const OutputProduct> products);
// hidden[i][r] = silu(x · gateᵀ) * (x · upᵀ) / hidden_divisor; `stride` halves between rows of hidden; columns from
// gate.rows to its padded rows are set to zero.
void swiglu_few(cudaStream_t stream, const NormInput& x, const PackedMatrix& gate, const PackedMatrix& up,
                __half* hidden, std::size_t stride);

// Any number of rows. `workspace`: for partial sums where one product is cut along its columns; at least
// many_workspace_bytes(), zero before its first use, and never used by two kernels at once. Without one nothing is cut,
// which is slow where rows are few.
std::size_t many_workspace_bytes();
void multiply_many(cudaStream_t stream, const Input& x, std::span<const OutputProduct> products, float scale,
                   void* workspace);
void swiglu_many(cudaStream_t stream, const Input& x, const PackedMatrix& gate, const PackedMatrix& up, __half* hidden,
                 std::size_t stride, void* workspace = nullptr);

}  // namespace compute::cuda
