// What a forward pass asks of the GPU, written down before it is started: kernels with their parameters, and the inputs
// that change from pass to pass. A pass that asks for the same as an earlier one is started as one CUDA graph.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <list>
#include <span>
#include <type_traits>
#include <vector>

#include "compute/cuda/memory.h"

namespace compute::cuda {

class Program {
 public:
  explicit Program(cudaStream_t stream);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Takes a copy of an input of the steps to follow, and says where it will lie in the GPU's memory. `room`: elements
  // to leave room for, so that passes whose inputs differ a little in size are the same program.
  template <typename T>
  const T* input(std::span<const T> values, std::size_t room = 0) {
    static_assert(std::is_trivially_copyable_v<T>);
    return reinterpret_cast<const T*>(place(std::as_bytes(values), room * sizeof(T)));
  }

  // A step: what starts it, and everything it depends on but for the inputs' contents.
  template <typename... Parameters>
  void add(std::function<void(cudaStream_t)> run, const Parameters&... parameters) {
    steps_.push_back(std::move(run));
    key_.push_back(separator);
    (append(parameters), ...);
  }

  // Starts all steps, in their order, and forgets them. `repeated`: the same is likely to be asked for again. Unless it
  // is the `last` of a pass, the inputs stay where they are for steps to follow.
  void start(bool repeated, bool last);
  std::size_t steps() const { return steps_.size(); }

  // Forgets all steps that have not been started, and the inputs.
  void discard();

 private:
  struct Graph {
    std::vector<std::uint64_t> key;
    cudaGraphExec_t executable;
  };
  struct Staging {
    PinnedMemory memory;
    cudaEvent_t copied = nullptr;
  };

  static constexpr std::uint64_t separator = 0x9E3779B97F4A7C15;

  // NOLINTBEGIN(bugprone-sizeof-expression): of a pointer, the pointer itself
  template <typename T>
  void append(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
    std::uint64_t word = 0;
    std::memcpy(&word, &value, sizeof value);
    key_.push_back(word);
  }
  // NOLINTEND(bugprone-sizeof-expression)

  void append(const std::vector<std::uint64_t>& words) { key_.insert(key_.end(), words.begin(), words.end()); }

  std::byte* place(std::span<const std::byte> bytes, std::size_t room);
  void turn();
  cudaGraphExec_t graph();
  cudaGraphExec_t capture();

  cudaStream_t stream_;
  std::vector<std::function<void(cudaStream_t)>> steps_;
  std::vector<std::uint64_t> key_;
  std::list<Graph> graphs_;  // most recently used first
  DeviceMemory inputs_;
  Staging staging_[2];  // one is filled while the other may still be copied
  std::size_t current_ = 0;
  std::size_t used_ = 0;    // bytes of the inputs
  std::size_t copied_ = 0;  // of them, to the GPU
};

}  // namespace compute::cuda
