#include "smollm3/model.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "base/error.h"

namespace smollm3 {

// Activations of one batch: as many rows as it has tokens.
struct Model::Buffers {
  compute::Buffer x;            // {tokens, hidden}: the residual stream
  compute::Buffer q;            // {tokens, query_size}
  compute::Buffer k;            // {tokens, kv_size}
  compute::Buffer v;            // {tokens, kv_size}
  compute::Buffer angles;       // {tokens, head_size}: cosines and sines of RoPE
  compute::Buffer last;         // {rows with logits, hidden}: the residual stream from the last layer's attention on
  compute::Buffer last_angles;  // {rows with logits, head_size}
  compute::Buffer joined;       // {rows with logits, hidden}: the ends of batches of two precisions
  compute::Buffer logits;       // {rows with logits, vocab}
  std::unique_ptr<compute::Activations> normed;    // {tokens, hidden}
  std::unique_ptr<compute::Activations> attended;  // {tokens, query_size}
  std::unique_ptr<compute::Activations> inner;     // {tokens, ffn}

  std::vector<std::uint32_t> tokens;
  std::vector<compute::KvRow> rows;  // where each token stands; at the end of the last layer: each with logits
  std::vector<float> cos_sin;        // {rows, head_size}: what angles holds
  std::vector<std::size_t> wanted;   // tokens whose logits are asked for

  Buffers(const Config& config, compute::Device& device, std::size_t batch)
      : x(device.allocate(batch, config.hidden)),
        q(device.allocate(batch, config.query_size())),
        k(device.allocate(batch, config.kv_size())),
        v(device.allocate(batch, config.kv_size())),
        angles(device.allocate(batch, config.head_size)),
        normed(device.make_activations(batch, config.hidden)),
        attended(device.make_activations(batch, config.query_size())),
        inner(device.make_activations(batch, config.ffn)) {}
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

// Lists the batch's tokens, their places in the cache and their angles; returns how many there are.
std::size_t Model::lay_out(std::span<const Chunk> chunks) {
  Buffers& b = *buffers_;
  b.tokens.clear();
  b.rows.clear();
  b.wanted.clear();
  for (const Chunk& chunk : chunks) {
    for (std::size_t i = 0; i < chunk.tokens.size(); ++i) {
      const Token token = chunk.tokens[i];
      if (token < 0 || static_cast<std::uint32_t>(token) >= config_.vocab) {
        throw base::Error("token " + std::to_string(token),
                          "the model has tokens 0 to " + std::to_string(config_.vocab - 1));
      }
      const bool last = i + 1 == chunk.tokens.size();
      if (chunk.logits == Chunk::Logits::All || (chunk.logits == Chunk::Logits::Last && last))
        b.wanted.push_back(b.tokens.size());
      b.tokens.push_back(static_cast<std::uint32_t>(token));
      b.rows.push_back({.pages = chunk.sequence->pages(), .position = chunk.sequence->length() + i});
    }
  }
  if (b.tokens.size() > max_batch_)
    throw base::Error("batch", "has more than " + std::to_string(max_batch_) + " tokens");
  b.cos_sin.clear();
  for (const compute::KvRow& row : b.rows) {
    const std::span<const float> angles = rope_.angles(row.position);
    b.cos_sin.insert(b.cos_sin.end(), angles.begin(), angles.end());
  }
  return b.tokens.size();
}

std::optional<compute::View> Model::forward(std::span<const Chunk> chunks, const Checkpoint& checkpoint) {
  try {
    const std::optional<compute::View> logits = run(chunks, checkpoint);
    if (logits) {
      for (const Chunk& chunk : chunks) chunk.sequence->advance(chunk.tokens.size());
    }
    return logits;
  } catch (...) {
    device_.abandon();
    throw;
  }
}

std::span<const float> Model::logits(std::span<const Chunk> chunks) {
  const compute::View rows = forward(chunks);
  return rows.rows == 0 ? std::span<const float>() : device_.read(rows);
}

// One batch for all chunks, or one of the exact and one of the fast ones.
std::optional<compute::View> Model::run(std::span<const Chunk> chunks, const Checkpoint& checkpoint) {
  const bool two_modes = device_.has_fast_mode();
  const auto is_fast = [&](const Chunk& chunk) { return two_modes && chunk.precision == compute::Precision::Fast; };
  const auto middle = std::find_if(chunks.begin(), chunks.end(), is_fast);
  if (!std::all_of(middle, chunks.end(), is_fast)) {
    throw base::Error(base::ErrorKind::Internal, "batch", "an exact chunk comes after a fast one");
  }
  const auto exact = std::span(chunks.begin(), middle), fast = std::span(middle, chunks.end());
  std::optional<compute::View> x;
  if (exact.empty() || fast.empty()) {
    device_.set_precision(exact.empty() ? compute::Precision::Fast : compute::Precision::Exact);
    x = run_layers(chunks, checkpoint);
    if (!x) return std::nullopt;
  } else {
    const auto half = [&](double from) {
      return checkpoint ? Checkpoint([&checkpoint, from](double done) { return checkpoint(from + done / 2); })
                        : nullptr;
    };
    device_.set_precision(compute::Precision::Exact);
    x = run_layers(exact, half(0));
    if (!x) return std::nullopt;
    const compute::View kept = join(*x, 0);
    device_.set_precision(compute::Precision::Fast);
    x = run_layers(fast, half(0.5));
    if (!x) return std::nullopt;
    x = join(*x, kept.rows);
  }
  const compute::View logits = x->rows == 0 ? compute::View{} : output(*x);
  device_.start();
  return logits;
}

// Takes the chunks' tokens through all layers, and returns the rows of the residual stream whose logits are wanted.
std::optional<compute::View> Model::run_layers(std::span<const Chunk> chunks, const Checkpoint& checkpoint) {
  Buffers& b = *buffers_;
  std::size_t count = lay_out(chunks);
  if (count == 0) return compute::View{};
  const compute::KvShape& cache = chunks.front().sequence->shape();
  compute::View x = b.x.first(count);

  device_.write(b.cos_sin, b.angles.first(count));
  device_.embed(weights_.embedding, b.tokens, x);
  for (std::uint32_t i = 0; i < config_.layers; ++i) {
    if (checkpoint && !checkpoint(static_cast<double>(i) / config_.layers)) return std::nullopt;
    const LayerWeights& layer = weights_.layers[i];
    // After the last layer's keys and values nothing depends on tokens whose logits nobody wants.
    const bool narrow = i + 1 == config_.layers && b.wanted.size() < count;

    device_.rms_norm(x, layer.attention_norm, config_.norm_epsilon, *b.normed);
    compute::View q = b.q.first(count);
    const compute::View k = b.k.first(count);
    const compute::View v = b.v.first(count);
    if (narrow) {
      device_.matmul(*b.normed, {{layer.k, k}, {layer.v, v}});
    } else {
      device_.matmul(*b.normed, {{layer.q, q}, {layer.k, k}, {layer.v, v}});
    }
    if (Config::has_rope(i)) device_.rope(k, config_.head_size, b.angles.first(count));
    device_.store_kv(cache, i, k, v, b.rows);
    if (narrow) {
      if (b.wanted.empty()) return compute::View{};
      x = keep_wanted(x);
      count = x.rows;
      q = b.q.first(count);
      device_.rms_norm(x, layer.attention_norm, config_.norm_epsilon, *b.normed);
      device_.matmul(*b.normed, {{layer.q, q}});
    }
    if (Config::has_rope(i)) {
      device_.rope(q, config_.head_size, narrow ? b.last_angles.first(count) : b.angles.first(count));
    }
    device_.attention(cache, i, q, b.rows, *b.attended);
    device_.matmul(*b.attended, {{layer.o, x, /*add=*/true}});

    device_.rms_norm(x, layer.ffn_norm, config_.norm_epsilon, *b.normed);
    device_.swiglu(*b.normed, layer.gate, layer.up, *b.inner);
    device_.matmul(*b.inner, {{layer.down, x, /*add=*/true}});
  }
  return x;
}

// Puts rows of the residual stream behind the `before` that are kept; returns all of them.
compute::View Model::join(compute::View rows, std::size_t before) {
  Buffers& b = *buffers_;
  const std::size_t all = before + rows.rows;
  if (all == 0) return {};
  if (all > b.joined.view().rows) {
    compute::Buffer larger = device_.allocate(all, config_.hidden);
    if (before > 0) copy_rows(b.joined.first(before), larger.first(before));
    b.joined = std::move(larger);
  }
  if (rows.rows > 0) {
    copy_rows(rows, b.joined.view().part(before, rows.rows));
  }
  return b.joined.first(all);
}

void Model::copy_rows(compute::View from, compute::View to) {
  std::vector<std::size_t> all(from.rows);
  std::iota(all.begin(), all.end(), std::size_t{0});
  device_.gather(from, all, to);
}

// Leaves in the batch only the tokens whose logits are wanted; returns their rows of x.
compute::View Model::keep_wanted(compute::View x) {
  Buffers& b = *buffers_;
  const std::size_t count = b.wanted.size();
  if (count > b.last.view().rows) {
    compute::Buffer last_rows = device_.allocate(count, config_.hidden);
    b.last_angles = device_.allocate(count, config_.head_size);
    b.last = std::move(last_rows);
  }
  const compute::View last = b.last.first(count);
  device_.gather(x, b.wanted, last);
  device_.gather(b.angles.first(b.rows.size()), b.wanted, b.last_angles.first(count));
  for (std::size_t i = 0; i < count; ++i) b.rows[i] = b.rows[b.wanted[i]];  // wanted[i] is at least i
  b.rows.resize(count);
  return last;
}

// Logits of all rows of x.
compute::View Model::output(compute::View x) {
  Buffers& b = *buffers_;
  if (x.rows > b.logits.view().rows) b.logits = device_.allocate(x.rows, config_.vocab);
  const compute::View logits = b.logits.first(x.rows);
  device_.set_precision(compute::Precision::Exact);
  // Two batches together may have more rows with logits than one has tokens.
  for (std::size_t at = 0; at < x.rows; at += max_batch_) {
    const std::size_t count = std::min(max_batch_, x.rows - at);
    device_.rms_norm(x.part(at, count), weights_.output_norm, config_.norm_epsilon, *b.normed);
    device_.matmul(*b.normed, {{weights_.output, logits.part(at, count)}});
  }
  return logits;
}

}  // namespace smollm3
