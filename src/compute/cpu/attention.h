// How attention is cut into parts for threads. The bits do not depend on the cut: a span of 512 positions is always
// worked through block by block, and a query's spans are always merged in ascending order; the fast mode's kernel takes
// any rows of a prompt and gives each the same bits.
#pragma once

#include "base/memory.h"
#include "base/thread_pool.h"
#include "compute/compute.h"
#include "compute/cpu/kernels.h"

namespace compute::cpu {

class Attention {
 public:
  Attention(const Kernels& kernels, base::ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  // out: [rows][q.cols].
  void run(const KvShape& shape, std::size_t layer, View q, std::span<const KvRow> rows, Precision precision,
           float* out);

 private:
  struct Job;

  void by_rows(const Job& job, std::size_t rows_per_part);
  void by_spans(const Job& job);
  void by_prompts(const Job& job);
  float* room_for(std::size_t floats);

  const Kernels& kernels_;
  base::ThreadPool& pool_;
  base::AlignedBuffer<float> states_;
};

}  // namespace compute::cpu
