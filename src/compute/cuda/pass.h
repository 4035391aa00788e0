// A forward pass as it is asked for, operation by operation: a program (program.h) whose first steps the GPU carries
// out while the rest is still being written down.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <span>
#include <utility>

#include "compute/cuda/program.h"

namespace compute::cuda {

class Pass {
 public:
  explicit Pass(cudaStream_t stream) : program_(stream) {}

  // Rows of its activations.
  void set_rows(std::size_t rows) { rows_ = rows; }

  // Program::input and Program::add.
  template <typename T>
  const T* input(std::span<const T> values, std::size_t room = 0) {
    return program_.input(values, room);
  }
  template <typename... Parameters>
  void add(std::function<void(cudaStream_t)> run, const Parameters&... parameters) {
    program_.add(std::move(run), parameters...);
    if (!begun_ && program_.steps() == started_steps) {
      program_.start(repeated(), false);
      begun_ = true;
    }
  }

  // Steps that have not begun.
  std::size_t steps() const { return program_.steps(); }

  // Starts what has not begun, and forgets all: what comes next is another pass, with inputs of its own.
  void start() {
    begun_ = false;
    program_.start(repeated(), true);
  }
  // Forgets what has not begun.
  void discard() {
    begun_ = false;
    program_.discard();
  }

 private:
  static constexpr std::size_t repeated_rows = 64;  // passes over up to so many rows are likely to come again
  static constexpr std::size_t started_steps = 24;  // are started before the rest is written down

  bool repeated() const { return rows_ <= repeated_rows; }

  Program program_;
  std::size_t rows_ = 0;
  bool begun_ = false;  // whether the first steps have been started
};

}  // namespace compute::cuda
