// Products as steps of a pass: which kernel multiplies, and the form of input that it wants, made if it is not there.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "compute/compute.h"
#include "compute/cuda/activations.h"
#include "compute/cuda/memory.h"
#include "compute/cuda/pass.h"
#include "compute/cuda/products.h"
#include "compute/cuda/weights.h"

namespace compute::cuda {

class ProductSteps {
 public:
  // `device`: what memory is taken from, and given back to once what was asked for with it has been done.
  ProductSteps(Pass& pass, const Weights& weights, Device& device);

  // As Device's, shapes having been checked and `hidden` being reset to its shape.
  void multiply(CudaActivations& x, std::span<const Product> products);
  void swiglu(CudaActivations& x, const Matrix& gate, const Matrix& up, CudaActivations& hidden);

 private:
  bool fuses_norm(const CudaActivations& x) const;
  void multiply_packed(CudaActivations& x, const std::vector<OutputProduct>& products);
  void multiply_in_float(CudaActivations& x, const PackedMatrix& weight, View y, bool sum);
  void swiglu_apart(CudaActivations& x, const Matrix& gate, const Matrix& up, CudaActivations& to);
  Input halves_of(CudaActivations& x);
  const float* floats_of(CudaActivations& x);

  Pass& pass_;
  const Weights& weights_;
  Device& device_;
  bool can_multiply_few_ = false;
  DeviceMemory workspace_;  // of multiply_many
  Buffer gated_;            // of swiglu_apart
};

}  // namespace compute::cuda
