// SmolLM3: the forward pass over a batch of tokens. The model is documented at
// https://huggingface.co/HuggingFaceTB/SmolLM3-3B.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compute/compute.h"
#include "gguf/gguf.h"
#include "smollm3/config.h"
#include "smollm3/kv_cache.h"
#include "smollm3/rope.h"
#include "smollm3/tokenizer.h"
#include "smollm3/weights.h"

namespace smollm3 {

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
  // each, in the order of chunks and tokens, valid until the next call. A sequence appears in at most one chunk, and
  // all are of pools of the shape `cache`. `precision` is that of the layers; the logits are always computed exactly
  // from what the last layer leaves.
  std::span<const float> forward(std::span<const Chunk> chunks, const compute::KvShape& cache,
                                 compute::Precision precision = compute::Precision::Exact);

  // Most tokens one forward() takes.
  std::size_t max_batch() const { return max_batch_; }

 private:
  struct Buffers;

  void prepare();
  std::span<const float> run(std::span<const Chunk> chunks, const compute::KvShape& cache);
  std::size_t lay_out(std::span<const Chunk> chunks);
  compute::View keep_wanted(compute::View x);
  std::span<const float> output(compute::View x);

  Config config_;
  Weights weights_;
  Rope rope_;
  compute::Device& device_;
  std::size_t max_batch_;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace smollm3
