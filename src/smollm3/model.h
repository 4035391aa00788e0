// SmolLM3: the weights of a file, and the forward pass over a batch of tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compute/compute.h"
#include "gguf/gguf.h"
#include "smollm3/config.h"
#include "smollm3/kv_cache.h"
#include "smollm3/tokenizer.h"

namespace smollm3 {

struct LayerWeights {
  compute::Matrix q;            // {query_size, hidden}
  compute::Matrix k;            // {kv_size, hidden}
  compute::Matrix v;            // {kv_size, hidden}
  compute::Matrix o;            // {hidden, query_size}
  compute::Matrix gate;         // {ffn, hidden}
  compute::Matrix up;           // {ffn, hidden}
  compute::Matrix down;         // {hidden, ffn}
  std::span<const float> attention_norm;  // {hidden}
  std::span<const float> ffn_norm;        // {hidden}
};

struct Weights {
  compute::Matrix embedding;  // {vocab, hidden}
  std::vector<LayerWeights> layers;
  std::span<const float> output_norm;  // {hidden}
  compute::Matrix output;              // {vocab, hidden}: the embedding unless the file has one of its own
};

// Some next tokens of one sequence.
struct Chunk {
  Sequence* sequence;             // room for the tokens must be reserved; forward() advances it
  std::span<const Token> tokens;  // at positions sequence->length() and following
  enum class Logits { None, Last, All } logits = Logits::Last;
};

class Model {
 public:
  // `file` must outlive the model: weights are used where they lie. Throws base::Error naming a tensor that is missing,
  // or of a wrong shape or unsupported type.
  Model(const gguf::File& file, compute::Device& device, std::uint32_t context = 0);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const Config& config() const { return config_; }
  const Weights& weights() const { return weights_; }
  compute::Device& device() const { return device_; }
  compute::KvShape kv_shape(quant::Type type) const;

  // Runs the chunks' tokens through the model, in one batch, and returns the logits asked for: a row of `vocab` floats
  // each, in the order of chunks and tokens, valid until the next call. A sequence appears in at most one chunk.
  std::span<const float> forward(std::span<const Chunk> chunks);

  // Most tokens one forward() takes.
  static constexpr std::size_t max_batch = 512;

 private:
  struct Buffers;

  Config config_;
  Weights weights_;
  compute::Device& device_;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace smollm3
