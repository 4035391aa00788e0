// Device::candidates on processors. Cost of a row of V tokens: each pass reads 4 V bytes that lie in the second-level
// cache; one finds the greatest logit, one computes the weights, one collects the tokens that the rules may leave.
#pragma once

#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "compute/compute.h"
#include "compute/cpu/kernels.h"

namespace compute::cpu {

struct CandidateRoom;  // memory for one row

class Candidates {
 public:
  Candidates(const Kernels& kernels, base::ThreadPool& pool);
  ~Candidates();

  // As Device::candidates. Threads take whole rows; where there are fewer rows than threads, ranges of tokens.
  void run(View logits, std::span<const SamplingRules> rules, std::span<Choice> choices);

 private:
  void prepare_room(std::size_t thread, std::size_t tokens);

  const Kernels& kernels_;
  base::ThreadPool& pool_;
  std::vector<std::unique_ptr<CandidateRoom>> rooms_;
};

}  // namespace compute::cpu
