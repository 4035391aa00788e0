// What a piece of work asks of a machine at least, whatever the program: bytes to read and operations to do.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/compute.h"
#include "smollm3/model.h"

namespace cli {

struct Workload {
  double bytes = 0;
  double int8_operations = 0;
  double float_operations = 0;
  double bf16_operations = 0;

  // The least time it can take: reading and computing can overlap, the kinds of operations cannot.
  double least_seconds(const compute::Rates& limits) const;
};

// Bytes of all weights that every pass over the model reads.
std::uint64_t weight_bytes(const smollm3::Model& model);

// `tokens` tokens of one prompt in batches, after `depth` known positions; logits of the last token alone. With
// Precision::Fast attention is of BF16.
Workload prompt_workload(const smollm3::Model& model, const compute::KvShape& kv, compute::Precision precision,
                         std::size_t tokens, std::size_t depth);

// `tokens` tokens of each of `batch` sequences, one of each at a time, after `depth` known positions.
Workload decode_workload(const smollm3::Model& model, const compute::KvShape& kv, std::size_t tokens, std::size_t depth,
                         std::size_t batch);

}  // namespace cli
