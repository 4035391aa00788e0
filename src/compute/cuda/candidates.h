// Device::candidates on a GPU: rules go there, choices come back, and logits stay where they are.
#pragma once

#include <cuda_runtime.h>

#include <span>

#include "compute/compute.h"
#include "compute/cuda/memory.h"

namespace compute::cuda {

class Candidates {
 public:
  // As Device::candidates, after what the stream has to do.
  void run(cudaStream_t stream, View logits, std::span<const SamplingRules> rules, std::span<Choice> choices);

 private:
  PinnedMemory host_;  // rules and masks on their way there, choices on their way back
  DeviceMemory device_;
  std::size_t device_bytes_ = 0;
};

}  // namespace compute::cuda
