// The weights of a model in the GPU's memory, packed, found again by where they lie in the host's.
#pragma once

#include <cstddef>
#include <span>
#include <unordered_map>
#include <vector>

#include "compute/compute.h"
#include "compute/cuda/memory.h"
#include "compute/cuda/packed.h"

namespace compute::cuda {

class Weights {
 public:
  // Packs and copies, on so many threads. Throws base::Error if the GPU has too little memory for all of them.
  void prepare(std::span<const Matrix> matrices, std::span<const std::span<const float>> gains, int threads);

  // Throw base::Error for weights that were not prepared.
  const PackedMatrix& matrix(const Matrix& weight) const;
  const float* gain(std::span<const float> gain) const;

  // Whether products in float occur.
  bool any_floats() const { return any_floats_; }

 private:
  std::vector<DeviceMemory> memory_;
  std::unordered_map<const void*, PackedMatrix> matrices_;
  std::unordered_map<const void*, const float*> gains_;
  bool any_floats_ = false;
};

}  // namespace compute::cuda
