// Memory of the GPU, and memory of the host that the GPU copies from and to without detours.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>
#include <utility>

#include "base/error.h"
#include "compute/cuda/launch.h"

namespace compute::cuda {

class DeviceMemory {
 public:
  DeviceMemory() = default;
  // Throws base::Error if the GPU has not as much left.
  explicit DeviceMemory(std::size_t bytes) : data_(take(bytes)) {}
  DeviceMemory(DeviceMemory&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~DeviceMemory() { cudaFree(data_); }

  // Memory that the caller gives back with cudaFree; throws as above.
  static void* take(std::size_t bytes) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, bytes) == cudaSuccess) return memory;
    cudaGetLastError();
    std::size_t available = 0;
    std::size_t total = 0;
    cudaMemGetInfo(&available, &total);
    throw base::Error(base::ErrorKind::Resource, "memory of the GPU",
                      std::to_string(bytes / 1'000'000) + " MB more are needed and " +
                          std::to_string(available / 1'000'000) + " are free",
                      "give less with --kv-memory, or use --device cpu");
  }

  template <typename T = std::byte>
  T* as(std::size_t offset = 0) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(data_) + offset);
  }

 private:
  void* data_ = nullptr;
};

// Fills with zeros, for whatever stream comes next: streams do not wait for what is done without one.
inline void zero(void* memory, std::size_t bytes) {
  check(cudaMemset(memory, 0, bytes), "memory of the GPU");
  check(cudaStreamSynchronize(nullptr), "memory of the GPU");
}

class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(std::size_t bytes) : bytes_(bytes) { check(cudaMallocHost(&data_, bytes), "pinned memory"); }
  PinnedMemory(PinnedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~PinnedMemory() { cudaFreeHost(data_); }

  std::size_t bytes() const { return bytes_; }
  template <typename T = std::byte>
  T* as(std::size_t offset = 0) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(data_) + offset);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace compute::cuda
