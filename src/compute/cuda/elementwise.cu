#include "compute/cuda/elementwise.h"

#include "compute/cuda/fragments.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

constexpr unsigned block_threads = 256;

// The element at (row, col) of a packed matrix; packed.h has the layout.
__device__ float element(const PackedMatrix& m, std::size_t row, std::size_t col) {
  if (m.format == Format::F32) return reinterpret_cast<const float*>(m.data)[row * m.cols + col];
  const std::size_t tiles = (m.cols + tile_cols - 1) / tile_cols;
  const std::size_t bytes = m.format == Format::Q4   ? TileFragments<Format::Q4>::bytes
                            : m.format == Format::Q6 ? TileFragments<Format::Q6>::bytes
                                                     : TileFragments<Format::F16>::bytes;
  const std::byte* tile = m.data + (row / tile_rows * tiles + col / tile_cols) * bytes;
  const unsigned r = row % tile_rows;
  const unsigned c = col % tile_cols;
  const unsigned step = c / 16;
  const unsigned k = c % 16;
  const unsigned lane = r % 8 * 4 + k % 8 / 2;
  const unsigned pair = r / 8 + k / 8 * 2;
  const unsigned second = k % 2;
  const auto* words = reinterpret_cast<const std::uint32_t*>(tile);
  const auto* halves = reinterpret_cast<const __half*>(tile);
  switch (m.format) {
    case Format::Q4: {
      const unsigned q = words[lane * 4 + step] >> (4 * pair + 16 * second) & 15;
      const __half* scale = halves + 256 + ((r % 8 * 2 + r / 8) * 2 + c / 32) * 2;
      return __half2float(scale[0]) * static_cast<float>(q) - __half2float(scale[1]);
    }
    case Format::Q6: {
      const unsigned low = words[lane * 4 + step] >> (4 * pair + 16 * second) & 15;
      const unsigned place = r / 8 * 2 + k / 8;  // the high bits have pairs 0, 2, 1, 3
      const unsigned high = words[128 + lane * 2 + step / 2] >> (8 * (step % 2) + 2 * place + 16 * second) & 3;
      const int q = static_cast<int>(low | high << 4) - 32;
      return __half2float(halves[384 + (r % 8 * 2 + r / 8) * 4 + step]) * static_cast<float>(q);
    }
    case Format::F16:
      return __half2float(halves[((step * 32 + lane) * 4 + pair) * 2 + second]);
    case Format::F32:  // above
      break;
  }
  return 0;
}

__global__ void embed_kernel(PackedMatrix table, const std::uint32_t* tokens, float* x, std::size_t stride) {
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  const std::size_t token = tokens[blockIdx.x];
  for (std::size_t c = threadIdx.x; c < table.cols; c += blockDim.x) {
    x[blockIdx.x * stride + c] = element(table, token, c);
  }
}

__device__ float sum_of_block(float value) {
  __shared__ float partial[32];
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xFFFFFFFFU, value, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += partial[warp];
  return sum;
}

__global__ void normalise_kernel(NormInput input, float* floats, std::size_t float_stride, __half* halves,
                                 std::size_t half_stride) {
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  const float* x = input.x + blockIdx.x * input.stride;
  float squares = 0;
  for (std::size_t c = threadIdx.x; c < input.cols; c += blockDim.x) squares = fmaf(x[c], x[c], squares);
  const float inverse = 1.0F / sqrtf(sum_of_block(squares) / static_cast<float>(input.cols) + input.epsilon);
  for (std::size_t c = threadIdx.x; c < input.cols; c += blockDim.x) {
    const float y = x[c] * inverse * input.gain[c];
    if (floats) floats[blockIdx.x * float_stride + c] = y;
    if (halves) halves[blockIdx.x * half_stride + c] = __float2half_rn(y);
  }
  if (!halves) return;
  const std::size_t end = (input.cols + tile_cols - 1) / tile_cols * tile_cols;
  for (std::size_t c = input.cols + threadIdx.x; c < end; c += blockDim.x) {
    halves[blockIdx.x * half_stride + c] = __float2half_rn(0);
  }
}

__global__ void turn_kernel(float* x, std::size_t cols, std::size_t stride, std::size_t head_size, const float* cos_sin,
                            std::size_t angle_stride) {
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  for (std::size_t pair = threadIdx.x; pair < cols / 2; pair += blockDim.x) {
    float* at = x + blockIdx.x * stride + 2 * pair;
    const float* turn = cos_sin + blockIdx.x * angle_stride + 2 * pair % head_size;
    const float even = fmaf(at[0], turn[0], -(at[1] * turn[1]));
    const float odd = fmaf(at[1], turn[0], at[0] * turn[1]);
    at[0] = even;
    at[1] = odd;
  }
}

template <typename T>
__device__ T rounded(float value);
template <>
__device__ float rounded<float>(float value) {
  return value;
}
template <>
__device__ __half rounded<__half>(float value) {
  return __float2half_rn(value);
}

// A block for each row and key/value head. Values of F16 lie transposed.
template <typename T>
__global__ void store_kernel(KvShape shape, std::size_t layer, const float* k, std::size_t k_stride, const float* v,
                             std::size_t v_stride, RowTable table) {
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  const std::size_t row = blockIdx.x;
  const std::size_t head = blockIdx.y;
  const std::size_t size = shape.head_size;
  const std::uint32_t position = table.position[row];
  const std::size_t slot = position % page_positions;
  std::byte* page = table.pages[table.first_page[row] + position / page_positions];
  const std::size_t block = size * page_positions * sizeof(T);
  T* keys = reinterpret_cast<T*>(page + (layer * shape.kv_heads + head) * 2 * block);
  T* values = keys + size * page_positions;
  for (std::size_t d = threadIdx.x; d < size; d += blockDim.x) {
    keys[slot * size + d] = rounded<T>(k[row * k_stride + head * size + d]);
    const std::size_t to = sizeof(T) == 2 ? d * page_positions + slot : slot * size + d;
    values[to] = rounded<T>(v[row * v_stride + head * size + d]);
  }
}

__global__ void gather_kernel(const float* x, std::size_t x_stride, const std::uint32_t* source, std::size_t cols,
                              float* y, std::size_t y_stride) {
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  const std::size_t from = source ? source[blockIdx.x] : blockIdx.x;
  for (std::size_t c = threadIdx.x; c < cols; c += blockDim.x) {
    y[blockIdx.x * y_stride + c] = x[from * x_stride + c];
  }
}

__global__ void round_kernel(const float* x, std::size_t cols, std::size_t stride, float scale, __half* halves,
                             std::size_t half_stride) {
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  const std::size_t end = (cols + tile_cols - 1) / tile_cols * tile_cols;
  for (std::size_t c = threadIdx.x; c < end; c += blockDim.x) {
    const float value = c < cols ? x[blockIdx.x * stride + c] * scale : 0.0F;
    halves[blockIdx.x * half_stride + c] = __float2half_rn(value);
  }
}

__global__ void widen_kernel(const __half* halves, std::size_t cols, std::size_t half_stride, float scale, float* x,
                             std::size_t stride) {
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  for (std::size_t c = threadIdx.x; c < cols; c += blockDim.x) {
    x[blockIdx.x * stride + c] = __half2float(halves[blockIdx.x * half_stride + c]) * scale;
  }
}

__global__ void gate_kernel(const float* gate, const float* up, std::size_t cols, float* hidden, std::size_t stride) {
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  for (std::size_t c = threadIdx.x; c < cols; c += blockDim.x) {
    const float g = gate[blockIdx.x * cols + c];
    hidden[blockIdx.x * stride + c] = g / (1.0F + expf(-g)) * up[blockIdx.x * cols + c];
  }
}

// A block for each row: grids of kernels that go through a row's columns.
dim3 grid_of(std::size_t rows) { return dim3(static_cast<unsigned>(rows)); }

}  // namespace

void embed_rows(cudaStream_t stream, const PackedMatrix& table, const std::uint32_t* tokens, std::size_t rows, float* x,
                std::size_t stride) {
  launch(stream, grid_of(rows), dim3(block_threads), 0, embed_kernel, table, tokens, x, stride);
}

void normalise_rows(cudaStream_t stream, const NormInput& x, float* floats, std::size_t float_stride, __half* halves,
                    std::size_t half_stride) {
  launch(stream, grid_of(x.rows), dim3(block_threads), 0, normalise_kernel, x, floats, float_stride, halves,
         half_stride);
}

void turn_rows(cudaStream_t stream, float* x, std::size_t rows, std::size_t cols, std::size_t stride,
               std::size_t head_size, const float* cos_sin, std::size_t angle_stride) {
  launch(stream, grid_of(rows), dim3(block_threads), 0, turn_kernel, x, cols, stride, head_size, cos_sin, angle_stride);
}

void store_rows(cudaStream_t stream, const KvShape& shape, std::size_t layer, std::size_t rows, const float* k,
                std::size_t k_stride, const float* v, std::size_t v_stride, const RowTable& table) {
  const auto kernel = shape.type == quant::Type::F32 ? store_kernel<float> : store_kernel<__half>;
  const dim3 grid(static_cast<unsigned>(rows), static_cast<unsigned>(shape.kv_heads));
  launch(stream, grid, dim3(128), 0, kernel, shape, layer, k, k_stride, v, v_stride, table);
}

void gather_rows(cudaStream_t stream, const float* x, std::size_t x_stride, const std::uint32_t* source,
                 std::size_t rows, std::size_t cols, float* y, std::size_t y_stride) {
  launch(stream, grid_of(rows), dim3(block_threads), 0, gather_kernel, x, x_stride, source, cols, y, y_stride);
}

void round_rows(cudaStream_t stream, const float* x, std::size_t rows, std::size_t cols, std::size_t stride,
                float scale, __half* halves, std::size_t half_stride) {
  launch(stream, grid_of(rows), dim3(block_threads), 0, round_kernel, x, cols, stride, scale, halves, half_stride);
}

void widen_rows(cudaStream_t stream, const __half* halves, std::size_t rows, std::size_t cols, std::size_t half_stride,
                float scale, float* x, std::size_t stride) {
  launch(stream, grid_of(rows), dim3(block_threads), 0, widen_kernel, halves, cols, half_stride, scale, x, stride);
}

void gate_rows(cudaStream_t stream, const float* gate, const float* up, std::size_t rows, std::size_t cols,
               float* hidden, std::size_t stride) {
  launch(stream, grid_of(rows), dim3(block_threads), 0, gate_kernel, gate, up, cols, hidden, stride);
}

}  // namespace compute::cuda
