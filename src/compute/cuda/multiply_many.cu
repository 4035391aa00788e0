// y = x · Wᵀ for many rows of x, computed as yᵀ = W · xᵀ on the matrix units: the packed weights are the A operand,
// taken apart in registers just before they are used, and the activations, halves, the B operand in shared memory.
//
// A block of two warpgroups computes 128 · MT weight rows for N rows of activations; a warpgroup has MT (1 or 2) strips
// of 64 weight rows, warp w of it tile row w of each strip. For SwiGLU one warpgroup has gate's rows and the other
// up's. It goes along the columns in steps of 64, one tile, whose weights and activations cp.async brings some steps
// ahead. Within a step the products of four chunks of 16 columns run asynchronously, while the A fragments of a later
// chunk are made in other registers.
//
// Cost for a step, MT = 2 and N = 128 (Q4): matrix units 4 · 4 · 64 = 1,024 cycles; 202 instructions of each of two
// warps of a scheduler, 104 of them to unpack, 404 of 1,024 issue slots (Q6: 252); from L2 16 KiB of activations and 10
// KiB of weights, 26 bytes a cycle. Weights being a third as many bytes as activations, tiles are tall: with 128 weight
// rows for 256 of activations it would be 37. Where activations are few the weights' way from memory is what costs, and
// the grid must fill the GPU to ask for enough of them at once: then the columns are cut among blocks, whose partial
// sums the last to arrive adds in fixed order, so that the result is the same at every run.
//
// many_plan.h chooses how the work is cut, many_tiles.h has the loop along the columns, many_outputs.h what follows it.
#include "compute/cuda/multiply_many.h"

#include <algorithm>

#include "base/error.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/many_outputs.h"
#include "compute/cuda/many_parameters.h"
#include "compute/cuda/many_plan.h"
#include "compute/cuda/many_tiles.h"
#include "compute/cuda/products.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

using namespace many;

// A value that the compiler takes for another one.
__device__ inline unsigned renewed(unsigned value) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+r"(value));
#endif
  return value;
}

template <typename S>
__global__ void __launch_bounds__(threads, S::blocks) multiply_many_kernel(const __grid_constant__ ManyParameters p) {
// Code for one generation of GPUs has only the kernels that it can run.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr bool compiled = true;
#else
  constexpr bool compiled = S::instructions == Instructions::Warp;
#endif
  if constexpr (compiled) {
    ptx::launch_dependents();
    float sums[S::strips][S::sums];
    {
      const Part part = find_part<S>(p, blockIdx.x, threadIdx.x / group_threads);
      const Format format = p.matrices[part.matrix].format;
      if (format == Format::Q4) {
        multiply_tiles<S, Format::Q4>(p, part, sums);
      } else if (format == Format::Q6 || !S::halves) {
        multiply_tiles<S, Format::Q6>(p, part, sums);
      } else if constexpr (S::halves) {
        multiply_tiles<S, Format::F16>(p, part, sums);
      }
    }
    // Found anew, so as not to take registers from the loop.
    const Part part = find_part<S>(p, renewed(blockIdx.x), threadIdx.x / group_threads);
    if (p.splits > 1 && !reduce_splits<S>(p, part, sums)) return;
    if (p.hidden != nullptr) {
      store_hidden<S>(p, part, sums);
    } else {
      store_floats<S>(p, part, sums);
    }
  }
}

template <typename S>
void start(cudaStream_t stream, ManyParameters p, unsigned splits) {
  const unsigned blocks = cut(p, {S::rows, S::strips, splits});
  launch(stream, dim3(blocks), dim3(threads), S::shared_bytes, multiply_many_kernel<S>, p);
}

void multiply(cudaStream_t stream, const ManyParameters& p, Instructions instructions, ManyPlan plan) {
  if (p.x_rows == 0) return;
  if (plan.rows == 0) plan = best_plan(p, instructions);
  if (!can_cut(p, plan, instructions))
    throw base::Error(base::ErrorKind::Internal, "product", "cannot be cut as asked for");
  if (instructions == Instructions::Warp) {
    return start<ManyShape<64, 1, 4, 1, 2, true, Instructions::Warp>>(stream, p, plan.splits);
  }
  const bool halves = has_halves(p);
  if (plan.rows == 32) {
    if (halves) return start<ManyShape<32, 1, 5, 2, 4, true>>(stream, p, plan.splits);
    if (plan.strips == 1) return start<ManyShape<32, 1, 8, 2, 4, false>>(stream, p, plan.splits);
    return start<ManyShape<32, 2, 6, 2, 4, false>>(stream, p, plan.splits);
  }
  if (plan.rows == 64) {
    if (halves) return start<ManyShape<64, 1, 4, 2, 4, true>>(stream, p, plan.splits);
    if (plan.strips == 1) return start<ManyShape<64, 1, 7, 2, 4, false>>(stream, p, plan.splits);
    return start<ManyShape<64, 2, 5, 2, 2, false>>(stream, p, plan.splits);
  }
  if (halves) return start<ManyShape<128, 1, 6, 1, 4, true>>(stream, p, plan.splits);
  if (plan.strips == 1) return start<ManyShape<128, 1, 4, 2, 4, false>>(stream, p, plan.splits);
  return start<ManyShape<128, 2, 6, 1, 4, false>>(stream, p, plan.splits);
}

ManyParameters parameters_of(const Input& x, float scale, void* workspace) {
  ManyParameters p{};
  if (x.rows * x.stride >= std::size_t{1} << 32)
    throw base::Error(base::ErrorKind::Internal, "product", "too many rows at once");
  p.x = x.halves;
  p.x_stride = static_cast<unsigned>(x.stride);
  p.x_rows = static_cast<unsigned>(x.rows);
  p.scale = scale;
  if (workspace != nullptr) {
    p.arrived = static_cast<unsigned*>(workspace);
    p.partial = reinterpret_cast<float*>(static_cast<float4*>(workspace) + max_split_blocks);
  }
  return p;
}

ManyMatrix matrix_of(const PackedMatrix& weight) {
  if (weight.format == Format::F32)
    throw base::Error(base::ErrorKind::Internal, "product", "a weight in floats has no tiles");
  ManyMatrix matrix{};
  matrix.data = weight.data;
  matrix.format = weight.format;
  matrix.rows = static_cast<unsigned>(weight.rows);
  matrix.padded_rows = static_cast<unsigned>(weight.padded_rows());
  return matrix;
}

}  // namespace

std::size_t many_workspace_bytes() { return max_split_blocks * (sizeof(float4) + std::size_t{max_partial_bytes}); }

void multiply_many(cudaStream_t stream, const Input& x, std::span<const OutputProduct> products, float scale,
                   void* workspace, Instructions instructions, ManyPlan plan) {
  for (std::size_t first = 0; first < products.size(); first += max_matrices) {
    ManyParameters p = parameters_of(x, scale, workspace);
    for (const OutputProduct& product :
         products.subspan(first, std::min<std::size_t>(max_matrices, products.size() - first))) {
      ManyMatrix& matrix = p.matrices[p.matrix_count++];
      matrix = matrix_of(product.weight);
      matrix.y = product.y;
      matrix.stride = product.stride;
      matrix.add = product.add;
      p.steps = divide_up(product.weight.cols, tile_cols);
    }
    multiply(stream, p, instructions, plan);
  }
}

void swiglu_many(cudaStream_t stream, const Input& x, const PackedMatrix& gate, const PackedMatrix& up, __half* hidden,
                 std::size_t stride, void* workspace, Instructions instructions, ManyPlan plan) {
  ManyParameters p = parameters_of(x, 1, workspace);
  p.hidden = hidden;
  p.hidden_stride = stride;
  p.matrix_count = 2;
  p.matrices[0] = matrix_of(gate);
  p.matrices[1] = matrix_of(up);
  p.steps = divide_up(gate.cols, tile_cols);
  multiply(stream, p, instructions, plan);
}

Instructions matrix_instructions() {
#ifdef SMOLLM3_EMULATE_CUDA
  return Instructions::Warpgroup;
#else
  static const int major = [] {
    int device = 0;
    int value = 0;
    check(cudaGetDevice(&device), "device");
    check(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, device), "compute capability");
    return value;
  }();
  return major == 9 ? Instructions::Warpgroup : Instructions::Warp;
#endif
}

void multiply_many(cudaStream_t stream, const Input& x, std::span<const OutputProduct> products, float scale,
                   void* workspace) {
  multiply_many(stream, x, products, scale, workspace, matrix_instructions());
}

void swiglu_many(cudaStream_t stream, const Input& x, const PackedMatrix& gate, const PackedMatrix& up, __half* hidden,
                 std::size_t stride, void* workspace) {
  swiglu_many(stream, x, gate, up, hidden, stride, workspace, matrix_instructions());
}

}  // namespace compute::cuda
