// SmolLM3: the forward pass over a batch of tokens. The model is documented at
// https://huggingface.co/HuggingFaceTB/SmolLM3-3B.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
  // Of the layers. Logits are always computed exactly from what the last layer leaves.
  compute::Precision precision = compute::Precision::Exact;
};

// Looked at between layers, with the part of the batch's work that is done, from 0 to 1; false gives the batch up.
using Checkpoint = std::function<bool(double done)>;

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

  // Runs the chunks' tokens through the model and returns the logits asked for, in the device's memory: a row of
  // `vocab` floats each, in the order of chunks and tokens, valid until the next call. Exact chunks come first: where
  // the device has a fast mode, those of either precision are a batch of their own, of at most max_batch() tokens. A
  // sequence appears in at most one chunk, and all are of pools of one shape. Nothing is returned, and all sequences
  // are as they were, if the checkpoint gave the batch up; or if this throws.
  std::optional<compute::View> forward(std::span<const Chunk> chunks, const Checkpoint& checkpoint);
  compute::View forward(std::span<const Chunk> chunks) { return *forward(chunks, nullptr); }
  // The same logits in this program's memory, valid until the device is used again.
  std::span<const float> logits(std::span<const Chunk> chunks);

  // Most tokens of one precision that forward() takes.
  std::size_t max_batch() const { return max_batch_; }

 private:
  struct Buffers;

  void prepare();
  std::optional<compute::View> run(std::span<const Chunk> chunks, const Checkpoint& checkpoint);
  std::optional<compute::View> run_layers(std::span<const Chunk> chunks, const Checkpoint& checkpoint);
  std::size_t lay_out(std::span<const Chunk> chunks);
  compute::View keep_wanted(compute::View x);
  compute::View join(compute::View rows, std::size_t before);
  void copy_rows(compute::View from, compute::View to);
  compute::View output(compute::View x);

  Config config_;
  Weights weights_;
  Rope rope_;
  compute::Device& device_;
  std::size_t max_batch_;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace smollm3
