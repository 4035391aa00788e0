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
  Sequence* sequence;             // room for the tokens must be reserved
  std::span<const Token> tokens;  // at positions sequence->length() and following
  enum class Logits { None, Last, All } logits = Logits::Last;
  // Of the layers. Logits are always computed exactly from what the last layer leaves.
  compute::Precision precision = compute::Precision::Exact;
};

class Model;

// A batch of chunks on its way through the layers. Several may be on their way at once, each as far as it is: so the
// prompt of one can be read, a few layers at a time, between the tokens of others (layered prefill).
//
//   begin() ─▶ advance() … ─▶ finish()     or give_up(), or the next begin()
class Pass {
 public:
  // Takes room for the largest batch. The model must outlive it.
  explicit Pass(Model& model);
  ~Pass();
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  // At most Model::max_batch() tokens, all of one precision. A sequence appears in at most one chunk, and all are of
  // pools of one shape; until finish() they must neither move nor change. A base::Error leaves the pass as if given up.
  void begin(std::span<const Chunk> chunks);
  std::uint32_t layers_left() const;
  void advance(std::uint32_t layers);
  // The logits asked for, in the device's memory: a row of `vocab` floats each, in the order of chunks and tokens,
  // valid until a pass of this model finishes again. The sequences are now longer by the chunks' tokens.
  compute::View finish();
  void give_up() noexcept;

 private:
  struct State;

  void lay_out(std::span<const Chunk> chunks);
  void run_layer(std::uint32_t index);
  void keep_wanted();

  Model& model_;
  std::unique_ptr<State> state_;
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

  // Most tokens that a pass takes.
  std::size_t max_batch() const { return max_batch_; }

  // A pass from its beginning to its end.
  compute::View forward(std::span<const Chunk> chunks);
  // The same logits in this program's memory, valid until the device is used again.
  std::span<const float> logits(std::span<const Chunk> chunks);

 private:
  friend class Pass;
  struct Buffers;

  void prepare();
  compute::View output(compute::View x);

  Config config_;
  Weights weights_;
  Rope rope_;
  compute::Device& device_;
  std::size_t max_batch_;
  std::unique_ptr<Buffers> buffers_;
  std::unique_ptr<Pass> pass_;  // of forward(), once it is called
};

}  // namespace smollm3
