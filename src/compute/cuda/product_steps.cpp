#include "compute/cuda/product_steps.h"

#include <bit>
#include <cstdint>

#include "compute/cuda/elementwise.h"
#include "compute/cuda/multiply_float.h"
#include "compute/cuda/packed.h"

namespace compute::cuda {
namespace {

template <typename T>
std::uint64_t word(T* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}
std::vector<std::uint64_t> words(const NormInput& norm) {
  return {norm.rows, norm.cols, word(norm.x), norm.stride, word(norm.gain), std::bit_cast<std::uint32_t>(norm.epsilon)};
}

}  // namespace

ProductSteps::ProductSteps(Pass& pass, const Weights& weights, Device& device)
    : pass_(pass),
      weights_(weights),
      device_(device),
      can_multiply_few_(can_multiply_few()),
      workspace_(many_workspace_bytes()) {
  zero(workspace_.as(), many_workspace_bytes());
}

void ProductSteps::multiply(CudaActivations& x, std::span<const Product> products) {
  std::vector<OutputProduct> packed;
  for (const Product& product : products) {
    const PackedMatrix weight = weights_.matrix(product.weight);
    if (weight.format == Format::F32) {
      multiply_in_float(x, weight, product.y, product.add);
    } else {
      packed.push_back({weight, product.y.data, product.y.stride, product.add});
    }
  }
  if (!packed.empty()) multiply_packed(x, packed);
}

void ProductSteps::swiglu(CudaActivations& x, const Matrix& gate, const Matrix& up, CudaActivations& hidden) {
  const PackedMatrix g = weights_.matrix(gate);
  const PackedMatrix u = weights_.matrix(up);
  if (g.format == Format::F32 || u.format == Format::F32) return swiglu_apart(x, gate, up, hidden);
  __half* halves = hidden.halves();
  const std::size_t stride = hidden.half_stride();
  if (fuses_norm(x)) {
    const NormInput norm = *x.norm();
    pass_.add([=](cudaStream_t stream) { swiglu_few(stream, norm, g, u, halves, stride); }, &swiglu_few, words(norm),
              g.data, u.data, halves, stride);
  } else {
    const Input in = halves_of(x);
    void* workspace = workspace_.as();
    pass_.add([=](cudaStream_t stream) { swiglu_many(stream, in, g, u, halves, stride, workspace); }, &swiglu_many,
              in.halves, in.rows, in.stride, g.data, u.data, halves, stride, workspace);
  }
  hidden.set_valid(CudaActivations::Form::Halves, hidden_divisor);
}

// Whether products make the norm of this input themselves.
bool ProductSteps::fuses_norm(const CudaActivations& x) const {
  return can_multiply_few_ && x.norm() && x.rows() <= few_rows && x.cols() <= most_norm_cols;
}

void ProductSteps::multiply_packed(CudaActivations& x, const std::vector<OutputProduct>& products) {
  using FewOfNorm = void (*)(cudaStream_t, const NormInput&, std::span<const OutputProduct>);
  using FewOfHalves = void (*)(cudaStream_t, const Input&, std::span<const OutputProduct>, float);
  std::vector<std::uint64_t> outputs;
  for (const OutputProduct& product : products) {
    outputs.insert(outputs.end(), {word(product.weight.data), word(product.y), product.stride, product.add});
  }
  if (fuses_norm(x)) {
    const NormInput norm = *x.norm();
    pass_.add([=](cudaStream_t stream) { multiply_few(stream, norm, products); }, FewOfNorm{&multiply_few}, words(norm),
              outputs);
    return;
  }
  const Input in = halves_of(x);
  const float scale = x.scale();
  if (can_multiply_few_ && in.rows <= few_rows) {
    pass_.add([=](cudaStream_t stream) { multiply_few(stream, in, products, scale); }, FewOfHalves{&multiply_few},
              in.rows, in.halves, in.stride, scale, outputs);
  } else {
    void* workspace = workspace_.as();
    pass_.add([=](cudaStream_t stream) { multiply_many(stream, in, products, scale, workspace); }, &multiply_many,
              in.rows, in.halves, in.stride, scale, outputs, workspace);
  }
}

void ProductSteps::multiply_in_float(CudaActivations& x, const PackedMatrix& weight, View y, bool sum) {
  const float* floats = floats_of(x);
  const std::size_t stride = x.float_stride();
  pass_.add([=](cudaStream_t stream) { multiply_float(stream, weight, floats, y.rows, stride, y.data, y.stride, sum); },
            &multiply_float, weight.data, floats, stride, y.rows, y.data, y.stride, sum);
}

// For weights of which one is F32: both products in float memory, then gated.
void ProductSteps::swiglu_apart(CudaActivations& x, const Matrix& gate, const Matrix& up, CudaActivations& to) {
  const std::size_t size = x.rows() * gate.rows;
  if (size > gated_.view().cols) {
    device_.start();
    gated_ = device_.allocate(2, size);
  }
  const View g{gated_.view().row(0).data, x.rows(), gate.rows, gate.rows};
  const View u{gated_.view().row(1).data, x.rows(), gate.rows, gate.rows};
  const Product products[] = {{gate, g}, {up, u}};
  multiply(x, products);
  float* floats = to.floats();
  const std::size_t stride = to.float_stride();
  pass_.add([=](cudaStream_t stream) { gate_rows(stream, g.data, u.data, g.rows, g.cols, floats, stride); }, &gate_rows,
            g.data, u.data, g.rows, g.cols, floats, stride);
  to.set_valid(CudaActivations::Form::Floats, hidden_divisor);
}

// The input in halves, made now if it is not there yet.
Input ProductSteps::halves_of(CudaActivations& x) {
  if (!x.valid(CudaActivations::Form::Halves)) {
    __half* halves = x.halves();
    const std::size_t stride = x.half_stride();
    if (x.norm()) {
      const NormInput norm = *x.norm();
      pass_.add([=](cudaStream_t stream) { normalise_rows(stream, norm, nullptr, 0, halves, stride); }, &normalise_rows,
                words(norm), halves, stride);
    } else {
      const float* floats = x.floats();
      const std::size_t rows = x.rows();
      const std::size_t cols = x.cols();
      const std::size_t float_stride = x.float_stride();
      const float scale = 1 / x.scale();
      pass_.add(
          [=](cudaStream_t stream) { round_rows(stream, floats, rows, cols, float_stride, scale, halves, stride); },
          &round_rows, floats, rows, cols, float_stride, halves, stride, scale);
    }
    x.also_valid(CudaActivations::Form::Halves);
  }
  return {x.rows(), x.halves(), x.half_stride()};
}

const float* ProductSteps::floats_of(CudaActivations& x) {
  if (!x.valid(CudaActivations::Form::Floats)) {
    float* floats = x.floats();
    const std::size_t stride = x.float_stride();
    if (x.norm()) {
      const NormInput norm = *x.norm();
      pass_.add([=](cudaStream_t stream) { normalise_rows(stream, norm, floats, stride, nullptr, 0); }, &normalise_rows,
                words(norm), floats, stride);
    } else {
      const __half* halves = x.halves();
      const std::size_t half_stride = x.half_stride();
      const std::size_t rows = x.rows();
      const std::size_t cols = x.cols();
      const float scale = x.scale();
      pass_.add(
          [=](cudaStream_t stream) { widen_rows(stream, halves, rows, cols, half_stride, scale, floats, stride); },
          &widen_rows, halves, rows, cols, half_stride, floats, stride, scale);
    }
    x.also_valid(CudaActivations::Form::Floats);
  }
  return x.floats();
}

}  // namespace compute::cuda
