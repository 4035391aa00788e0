#include "smollm3/model.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"

namespace smollm3 {

// Activations within one layer: as many rows as the batch has tokens. They are free again when the layer is done.
struct Model::Buffers {
  compute::Buffer q;                               // {tokens, query_size}
  compute::Buffer k;                               // {tokens, kv_size}
  compute::Buffer v;                               // {tokens, kv_size}
  compute::Buffer logits;                          // {rows with logits, vocab}
  std::unique_ptr<compute::Activations> normed;    // {tokens, hidden}
  std::unique_ptr<compute::Activations> attended;  // {tokens, query_size}
  std::unique_ptr<compute::Activations> inner;     // {tokens, ffn}

  Buffers(const Config& config, compute::Device& device, std::size_t batch)
      : q(device.allocate(batch, config.query_size())),
        k(device.allocate(batch, config.kv_size())),
        v(device.allocate(batch, config.kv_size())),
        normed(device.make_activations(batch, config.hidden)),
        attended(device.make_activations(batch, config.query_size())),
        inner(device.make_activations(batch, config.ffn)) {}
};

// What a batch takes from layer to layer.
struct Pass::State {
  compute::Buffer x;            // {tokens, hidden}: the residual stream
  compute::Buffer angles;       // {tokens, head_size}: cosines and sines of RoPE
  compute::Buffer last;         // {rows with logits, hidden}: the residual stream from the last layer's attention on
  compute::Buffer last_angles;  // {rows with logits, head_size}

  std::vector<std::pair<Sequence*, std::size_t>> sequences;  // and how many tokens each gets
  compute::Precision precision = compute::Precision::Exact;
  std::uint32_t layer = 0;  // the next one
  compute::View now;        // the rows of x, or of last, that are still computed
  bool narrow = false;      // they are of last

  std::vector<std::uint32_t> tokens;
  std::vector<compute::KvRow> rows;  // where each token stands; at the end of the last layer: each with logits
  std::vector<float> cos_sin;        // {rows, head_size}: what angles holds
  std::vector<std::size_t> wanted;   // tokens whose logits are asked for

  State(const Config& config, compute::Device& device, std::size_t batch)
      : x(device.allocate(batch, config.hidden)), angles(device.allocate(batch, config.head_size)) {}
};

Model::Model(const gguf::File& file, compute::Device& device, std::uint32_t context)
    : config_(Config::read(file, context)),
      weights_(Weights::read(file, config_)),
      rope_(config_.rope, config_.head_size),
      device_(device),
      max_batch_(device.batch_rows()),
      buffers_(std::make_unique<Buffers>(config_, device, max_batch_)) {
  prepare();
}

Model::~Model() = default;

compute::KvShape Model::kv_shape(quant::Type type) const {
  return {.layers = config_.layers, .kv_heads = config_.kv_heads, .head_size = config_.head_size, .type = type};
}

void Model::prepare() {
  std::vector<compute::Matrix> matrices = {weights_.embedding};
  std::vector<std::span<const float>> gains;
  for (const LayerWeights& layer : weights_.layers) {
    matrices.insert(matrices.end(), {layer.q, layer.k, layer.v, layer.o, layer.gate, layer.up, layer.down});
    gains.insert(gains.end(), {layer.attention_norm, layer.ffn_norm});
  }
  gains.push_back(weights_.output_norm);
  if (weights_.output.data.data() != weights_.embedding.data.data()) matrices.push_back(weights_.output);
  device_.prepare(matrices, gains);
}

compute::View Model::forward(std::span<const Chunk> chunks) {
  if (!pass_) pass_ = std::make_unique<Pass>(*this);
  pass_->begin(chunks);
  pass_->advance(pass_->layers_left());
  return pass_->finish();
}

std::span<const float> Model::logits(std::span<const Chunk> chunks) {
  const compute::View rows = forward(chunks);
  return rows.rows == 0 ? std::span<const float>() : device_.read(rows);
}

// Logits of all rows of x.
compute::View Model::output(compute::View x) {
  Buffers& b = *buffers_;
  if (x.rows > b.logits.view().rows) b.logits = device_.allocate(x.rows, config_.vocab);
  const compute::View logits = b.logits.first(x.rows);
  device_.set_precision(compute::Precision::Exact);
  device_.rms_norm(x, weights_.output_norm, config_.norm_epsilon, *b.normed);
  device_.matmul(*b.normed, {{weights_.output, logits}});
  return logits;
}

Pass::Pass(Model& model)
    : model_(model), state_(std::make_unique<State>(model.config_, model.device_, model.max_batch_)) {
  give_up();
}

Pass::~Pass() = default;

std::uint32_t Pass::layers_left() const { return model_.config_.layers - state_->layer; }

void Pass::give_up() noexcept {
  state_->sequences.clear();
  state_->tokens.clear();
  state_->now = {};
  state_->layer = model_.config_.layers;
}

void Pass::begin(std::span<const Chunk> chunks) {
  State& s = *state_;
  give_up();
  lay_out(chunks);
  if (s.tokens.empty()) return;
  try {
    model_.device_.write(s.cos_sin, s.angles.first(s.tokens.size()));
    s.now = s.x.first(s.tokens.size());
    model_.device_.embed(model_.weights_.embedding, s.tokens, s.now);
  } catch (...) {
    model_.device_.abandon();
    give_up();
    throw;
  }
  for (const Chunk& chunk : chunks) s.sequences.emplace_back(chunk.sequence, chunk.tokens.size());
  s.layer = 0;
}

// Lists the batch's tokens, their places in the cache and their angles.
void Pass::lay_out(std::span<const Chunk> chunks) {
  State& s = *state_;
  s.rows.clear();
  s.wanted.clear();
  s.cos_sin.clear();
  s.narrow = false;
  const std::uint32_t vocab = model_.config_.vocab;
  for (const Chunk& chunk : chunks) {
    s.precision = chunk.precision;
    if (chunk.precision != chunks.front().precision) {
      throw base::Error(base::ErrorKind::Internal, "batch", "its chunks have two precisions");
    }
    for (std::size_t i = 0; i < chunk.tokens.size(); ++i) {
      const Token token = chunk.tokens[i];
      if (token < 0 || static_cast<std::uint32_t>(token) >= vocab) {
        throw base::Error("token " + std::to_string(token), "the model has tokens 0 to " + std::to_string(vocab - 1));
      }
      const bool last = i + 1 == chunk.tokens.size();
      if (chunk.logits == Chunk::Logits::All || (chunk.logits == Chunk::Logits::Last && last)) {
        s.wanted.push_back(s.tokens.size());
      }
      s.tokens.push_back(static_cast<std::uint32_t>(token));
      s.rows.push_back({.pages = chunk.sequence->pages(), .position = chunk.sequence->length() + i});
    }
  }
  if (s.tokens.size() > model_.max_batch_) {
    throw base::Error(base::ErrorKind::Internal, "batch",
                      "has more than " + std::to_string(model_.max_batch_) + " tokens");
  }
  for (const compute::KvRow& row : s.rows) {
    const std::span<const float> angles = model_.rope_.angles(row.position);
    s.cos_sin.insert(s.cos_sin.end(), angles.begin(), angles.end());
  }
}

void Pass::advance(std::uint32_t layers) {
  State& s = *state_;
  try {
    model_.device_.set_precision(s.precision);
    for (layers = std::min(layers, layers_left()); layers > 0; --layers) run_layer(s.layer++);
  } catch (...) {
    model_.device_.abandon();
    give_up();
    throw;
  }
}

void Pass::run_layer(std::uint32_t index) {
  State& s = *state_;
  Model::Buffers& b = *model_.buffers_;
  compute::Device& device = model_.device_;
  const Config& config = model_.config_;
  const LayerWeights& layer = model_.weights_.layers[index];
  const compute::KvShape& cache = s.sequences.front().first->shape();
  const bool last = index + 1 == config.layers;
  // After the last layer's keys and values nothing depends on tokens whose logits nobody wants.
  const bool narrow = last && s.wanted.size() < s.now.rows;
  std::size_t count = s.now.rows;

  device.rms_norm(s.now, layer.attention_norm, config.norm_epsilon, *b.normed);
  compute::View q = b.q.first(count);
  const compute::View k = b.k.first(count);
  const compute::View v = b.v.first(count);
  if (narrow) {
    device.matmul(*b.normed, {{layer.k, k}, {layer.v, v}});
  } else {
    device.matmul(*b.normed, {{layer.q, q}, {layer.k, k}, {layer.v, v}});
  }
  if (Config::has_rope(index)) device.rope(k, config.head_size, s.angles.first(count));
  device.store_kv(cache, index, k, v, s.rows);
  if (narrow) {
    keep_wanted();
    count = s.now.rows;
    if (count == 0) return;
    q = b.q.first(count);
    device.rms_norm(s.now, layer.attention_norm, config.norm_epsilon, *b.normed);
    device.matmul(*b.normed, {{layer.q, q}});
  }
  if (Config::has_rope(index)) {
    device.rope(q, config.head_size, s.narrow ? s.last_angles.first(count) : s.angles.first(count));
  }
  device.attention(cache, index, q, s.rows, *b.attended);
  device.matmul(*b.attended, {{layer.o, s.now, /*add=*/true}});

  device.rms_norm(s.now, layer.ffn_norm, config.norm_epsilon, *b.normed);
  device.swiglu(*b.normed, layer.gate, layer.up, *b.inner);
  device.matmul(*b.inner, {{layer.down, s.now, /*add=*/true}});
}

// Leaves in the batch only the tokens whose logits are wanted.
void Pass::keep_wanted() {
  State& s = *state_;
  const std::size_t count = s.wanted.size();
  if (count > s.last.view().rows) {
    compute::Buffer rows = model_.device_.allocate(count, model_.config_.hidden);
    s.last_angles = model_.device_.allocate(count, model_.config_.head_size);
    s.last = std::move(rows);
  }
  s.narrow = true;
  const compute::View last = count > 0 ? s.last.first(count) : compute::View{};
  if (count > 0) {
    model_.device_.gather(s.now, s.wanted, last);
    model_.device_.gather(s.angles.first(s.rows.size()), s.wanted, s.last_angles.first(count));
  }
  for (std::size_t i = 0; i < count; ++i) s.rows[i] = s.rows[s.wanted[i]];  // wanted[i] is at least i
  s.rows.resize(count);
  s.now = last;
}

compute::View Pass::finish() {
  State& s = *state_;
  if (layers_left() > 0) throw base::Error(base::ErrorKind::Internal, "batch", "is not through all layers");
  compute::View logits;
  try {
    if (s.now.rows > 0) logits = model_.output(s.now);
    model_.device_.start();
  } catch (...) {
    model_.device_.abandon();
    give_up();
    throw;
  }
  for (const auto& [sequence, count] : s.sequences) sequence->advance(count);
  give_up();
  return logits;
}

}  // namespace smollm3
