// The kernel that draws tokens, and what it is given: rules as integers, edits and masks of all rows one after the
// other.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "compute/candidates.h"
#include "compute/sampling.h"

namespace compute::cuda {

struct RowRules {
  IntegerRules rules;
  std::uint64_t random;
  std::uint32_t first_edit;  // among all rows'
  std::uint32_t edits;
  std::uint32_t first_word;  // of its mask
  bool masked;
  bool described;  // whether log-probabilities are wanted, and of how many of the most likely tokens
  std::uint32_t alternatives;
};

// What the kernel finds out. Logits are the model's, before edits.
struct RowChoice {
  bool finite;
  std::uint32_t token;
  float logit;
  float greatest;
  std::uint64_t sum;  // of the weights at temperature 1
  std::uint32_t alternatives[most_alternatives];
  float alternative_logits[most_alternatives];
};

struct ChooseInput {
  float* logits;  // as they were when the kernel ends
  std::size_t tokens;
  std::size_t stride;
  const RowRules* rows;
  const LogitEdit* edits;
  float* unedited;  // room for as many floats as there are edits
  const std::uint64_t* masks;
};

void choose_rows(cudaStream_t stream, const ChooseInput& input, std::size_t rows, RowChoice* choices);

}  // namespace compute::cuda
