// The weights of a file, by the names of the model's parts, each with the shape the configuration calls for.
#pragma once

#include <span>
#include <vector>

#include "compute/compute.h"
#include "gguf/gguf.h"
#include "smollm3/config.h"

namespace smollm3 {

struct LayerWeights {
  std::span<const float> attention_norm;  // {hidden}
  compute::Matrix q;                      // {query_size, hidden}
  compute::Matrix k;                      // {kv_size, hidden}
  compute::Matrix v;                      // {kv_size, hidden}
  compute::Matrix o;                      // {hidden, query_size}
  std::span<const float> ffn_norm;        // {hidden}
  compute::Matrix gate;                   // {ffn, hidden}
  compute::Matrix up;                     // {ffn, hidden}
  compute::Matrix down;                   // {hidden, ffn}
};

struct Weights {
  compute::Matrix embedding;  // {vocab, hidden}
  std::vector<LayerWeights> layers;
  std::span<const float> output_norm;  // {hidden}
  compute::Matrix output;              // {vocab, hidden}: the embedding, unless the file has one of its own

  // Views into the file, which must outlive them. Throws base::Error naming a tensor that is missing, unknown, of
  // another shape or of a type that does not run.
  static Weights read(const gguf::File& file, const Config& config);
};

}  // namespace smollm3
