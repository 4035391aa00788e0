// What this machine's processors and memory can do at most: the rates that benchmarks are measured against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/thread_pool.h"
#include "compute/compute.h"

namespace compute::cpu {

class RatesMeter {
 public:
  // Takes as much memory as a model has bytes, at most 4 GiB or half of what is free, and keeps it: systems can be busy
  // for seconds with memory that is given back, which would slow down what is measured next.
  // The pool must outlive it. Throws std::bad_alloc.
  RatesMeter(base::ThreadPool& pool, std::uint64_t model_bytes);

  // Measures with all threads, in about a second: int8 dot products, float32 products, BF16 ones where there is AMX,
  // and reading all of that memory; from caches if it fits there.
  Rates measure();

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };

  std::byte* share_of(int thread) const;

  base::ThreadPool& pool_;
  std::size_t rounds_;  // of a thread, in each of which it reads four pairs of lines
  std::size_t share_;   // bytes that a thread reads
  std::unique_ptr<std::byte[], Free> memory_;
};

}  // namespace compute::cpu
