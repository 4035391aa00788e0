// What is done element by element: rows of an embedding, norms, RoPE, keys and values into their pages, conversions.
// Everything lies in the device's memory; strides are counted in elements.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "compute/cuda/attention.h"
#include "compute/cuda/packed.h"
#include "compute/cuda/products.h"

namespace compute::cuda {

// x row i = row tokens[i] of the table.
void embed_rows(cudaStream_t stream, const PackedMatrix& table, const std::uint32_t* tokens, std::size_t rows, float* x,
                std::size_t stride);

// The norm of every row, as floats or as halves (one may be nullptr). Halves beyond x.cols, up to a multiple of 64, are
// set to zero.
void normalise_rows(cudaStream_t stream, const NormInput& x, float* floats, std::size_t float_stride, __half* halves,
                    std::size_t half_stride);

// Turns adjacent pairs of each head. cos_sin: {rows, head_size}.
void turn_rows(cudaStream_t stream, float* x, std::size_t rows, std::size_t cols, std::size_t stride,
               std::size_t head_size, const float* cos_sin, std::size_t angle_stride);

// Rounds keys and values to the cache's type and writes them where the rows stand.
void store_rows(cudaStream_t stream, const KvShape& shape, std::size_t layer, std::size_t rows, const float* k,
                std::size_t k_stride, const float* v, std::size_t v_stride, const RowTable& table);

// y row i = x row source[i], or x row i if source is nullptr.
void gather_rows(cudaStream_t stream, const float* x, std::size_t x_stride, const std::uint32_t* source,
                 std::size_t rows, std::size_t cols, float* y, std::size_t y_stride);

// halves = floats * scale, zero beyond cols up to a multiple of 64; floats = halves * scale.
void round_rows(cudaStream_t stream, const float* x, std::size_t rows, std::size_t cols, std::size_t stride,
                float scale, __half* halves, std::size_t half_stride);
void widen_rows(cudaStream_t stream, const __half* halves, std::size_t rows, std::size_t cols, std::size_t half_stride,
                float scale, float* x, std::size_t stride);

// hidden = silu(gate) * up, in float; gate and up without gaps between rows.
void gate_rows(cudaStream_t stream, const float* gate, const float* up, std::size_t rows, std::size_t cols,
               float* hidden, std::size_t stride);

}  // namespace compute::cuda
