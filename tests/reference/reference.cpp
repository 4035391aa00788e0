#include "reference/reference.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <stdexcept>
#include <thread>

namespace reference {
namespace {

struct Hyper {
  std::size_t layers, hidden, heads, kv_heads, head_size;
  double epsilon, rope_base;
  double yarn_factor;  // 1: no YaRN
  double original_context;
};

Hyper read_hyper(const gguf::File& file, double yarn_factor) {
  const auto integer = [&](const char* key) { return file.integer(std::string("smollm3.") + key); };
  Hyper h{};
  h.layers = integer("block_count");
  h.hidden = integer("embedding_length");
  h.heads = integer("attention.head_count");
  h.kv_heads = integer("attention.head_count_kv");
  h.head_size = file.integer("smollm3.attention.key_length", h.hidden / h.heads);
  h.epsilon = file.number("smollm3.attention.layer_norm_rms_epsilon", 1e-6);
  h.rope_base = file.number("smollm3.rope.freq_base", 5e6);
  h.yarn_factor = yarn_factor;
  h.original_context = static_cast<double>(integer("context_length"));
  if (file.string("smollm3.rope.scaling.type", "none") == "yarn") {
    h.yarn_factor = file.number("smollm3.rope.scaling.factor", 1);
    h.original_context = static_cast<double>(integer("rope.scaling.original_context_length"));
  }
  return h;
}

// Splits [0, count) among threads.
void in_parallel(std::size_t count, const std::function<void(std::size_t first, std::size_t last)>& body) {
  const std::size_t parts = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8);
  std::vector<std::jthread> threads;
  for (std::size_t p = 0; p < parts; ++p) threads.emplace_back(body, count * p / parts, count * (p + 1) / parts);
}

class Model {
 public:
  Model(const gguf::File& file, const Options& options)
      : file_(file), options_(options), hyper_(read_hyper(file, options.yarn_factor)) {}

  Rows logits(std::span<const std::uint32_t> tokens) const {
    Rows x = embed(tokens);
    for (std::size_t layer = 0; layer < hyper_.layers; ++layer) {
      if (options_.faults.skipped_layer == layer) continue;
      const std::string blk = "blk." + std::to_string(layer) + ".";

      const Rows a = rms_norm(x, blk + "attn_norm.weight");
      Rows q = product(blk + "attn_q.weight", a);
      Rows k = product(blk + "attn_k.weight", a);
      const Rows v = product(blk + "attn_v.weight", a);
      if (has_rope(layer)) {
        rope(q);
        rope(k);
      }
      add(x, product(blk + "attn_output.weight", attention(q, k, v)));

      const Rows f = rms_norm(x, blk + "ffn_norm.weight");
      Rows gate = product(blk + "ffn_gate.weight", f);
      const Rows up = product(blk + "ffn_up.weight", f);
      for (std::size_t i = 0; i < gate.data.size(); ++i) {
        const double g = gate.data[i];
        gate.data[i] = g / (1 + std::exp(-g)) * up.data[i];
      }
      add(x, product(blk + "ffn_down.weight", gate));
    }
    const bool tied = file_.tensor("output.weight") == nullptr;
    return product(tied ? "token_embd.weight" : "output.weight", rms_norm(x, "output_norm.weight"));
  }

 private:
  bool has_rope(std::size_t layer) const {
    if (options_.faults.rope_on_nope_layers) return true;
    if (options_.faults.nope_on_first_of_four) return layer % 4 != 0;
    return (layer + 1) % 4 != 0;
  }

  const gguf::Tensor& tensor(const std::string& name) const {
    const gguf::Tensor* found = file_.tensor(name);
    if (found == nullptr) throw std::invalid_argument("the reference misses tensor " + name);
    return *found;
  }

  std::vector<double> row(const gguf::Tensor& t, std::size_t i) const {
    const auto type = static_cast<Type>(t.type);
    const BlockSize block = block_size(type);
    const std::size_t bytes = t.shape.at(0) / block.elements * block.bytes;
    const auto* first = reinterpret_cast<const std::uint8_t*>(t.room.data());
    std::size_t without_mins = none;
    if (const auto& fault = options_.faults.dropped_mins; fault && fault->tensor == t.name) {
      if (fault->everywhere)
        without_mins = all;
      else if (fault->row == i)
        without_mins = fault->superblock;
    }
    return decode_row(type, {first + i * bytes, bytes}, without_mins);
  }

  Rows embed(std::span<const std::uint32_t> tokens) const {
    Rows x(tokens.size(), hyper_.hidden);
    for (std::size_t t = 0; t < tokens.size(); ++t)
      std::ranges::copy(row(tensor("token_embd.weight"), tokens[t]), x[t].begin());
    return x;
  }

  static void add(Rows& x, const Rows& y) {
    for (std::size_t i = 0; i < x.data.size(); ++i) x.data[i] += y.data[i];
  }

  Rows rms_norm(const Rows& x, const std::string& name) const {
    const std::vector<double> gain = row(tensor(name), 0);
    Rows out(x.count, x.cols);
    for (std::size_t t = 0; t < x.count; ++t) {
      double squares = 0;
      for (const double value : x[t]) squares += value * value;
      const double scale = 1 / std::sqrt(squares / static_cast<double>(x.cols) + hyper_.epsilon);
      for (std::size_t i = 0; i < x.cols; ++i) out[t][i] = x[t][i] * scale * gain[i];
    }
    return out;
  }

  // Each group of `group` values as int8 times one scale, the largest at ±127.
  static Rows rounded_to_int8(const Rows& x, std::size_t group) {
    Rows out(x.count, x.cols);
    for (std::size_t first = 0; first < x.data.size(); first += group) {
      double largest = 0;
      for (std::size_t i = first; i < first + group; ++i) largest = std::max(largest, std::abs(x.data[i]));
      if (largest == 0) continue;
      for (std::size_t i = first; i < first + group; ++i) {
        out.data[i] = std::nearbyint(x.data[i] / largest * 127) * largest / 127;
      }
    }
    return out;
  }

  // y[t][r] = Σ_c w[r][c] x[t][c]
  Rows product(const std::string& name, const Rows& input) const {
    const gguf::Tensor& w = tensor(name);
    const std::size_t group = block_size(static_cast<Type>(w.type)).elements;
    const Rows x = options_.int8_activations && group > 1 ? rounded_to_int8(input, group) : input;
    Rows by_column(x.cols, x.count);  // so that the innermost loop runs over tokens
    for (std::size_t t = 0; t < x.count; ++t) {
      for (std::size_t c = 0; c < x.cols; ++c) by_column[c][t] = x[t][c];
    }
    Rows y(x.count, w.shape.at(1));
    in_parallel(y.cols, [&](std::size_t first, std::size_t last) {
      std::vector<double> sums(x.count);
      for (std::size_t r = first; r < last; ++r) {
        const std::vector<double> weights = row(w, r);
        std::ranges::fill(sums, 0.0);
        for (std::size_t c = 0; c < x.cols; ++c) {
          const double weight = weights[c];
          const double* column = by_column[c].data();
          for (std::size_t t = 0; t < x.count; ++t) sums[t] += weight * column[t];
        }
        for (std::size_t t = 0; t < x.count; ++t) y[t][r] = sums[t];
      }
    });
    return y;
  }

  // Radians per position of pair i, stretched by YaRN ("NTK-by-parts", arXiv:2309.00071, section 3.2): pairs that turn
  // more than 32 times within the original context stay, those that turn less than once are slowed by the factor, and
  // between the two a ramp over the pair's index mixes both.
  double frequency(std::size_t pair) const {
    const double size = static_cast<double>(hyper_.head_size);
    const double i = static_cast<double>(pair);
    const double plain = std::pow(hyper_.rope_base, -2 * i / size);
    if (hyper_.yarn_factor == 1 || options_.faults.yarn_ignored || options_.faults.yarn_without_stretch) return plain;
    const auto pair_turning = [&](double times) {
      return size * std::log(hyper_.original_context / (2 * std::numbers::pi * times)) /
             (2 * std::log(hyper_.rope_base));
    };
    const bool rounded = !options_.faults.yarn_bounds_unrounded;
    const double low = std::max(rounded ? std::floor(pair_turning(32)) : pair_turning(32), 0.0);
    const double high = std::min(rounded ? std::ceil(pair_turning(1)) : pair_turning(1), size - 1);
    const double slowed = std::clamp((i - low) / std::max(high - low, 0.001), 0.0, 1.0);
    return plain * (1 - slowed) + plain / hyper_.yarn_factor * slowed;
  }

  // YaRN's temperature on the attention's logits, as a factor of both q and k (the same paper, section 3.3).
  double magnitude() const {
    if (options_.faults.yarn_ignored || options_.faults.yarn_without_magnitude) return 1;
    return 1 + 0.1 * std::log(hyper_.yarn_factor);
  }

  void rope(Rows& x) const {
    const std::size_t half = hyper_.head_size / 2;
    for (std::size_t position = 0; position < x.count; ++position) {
      for (std::size_t pair = 0; pair < half; ++pair) {
        const double angle = static_cast<double>(position) * frequency(pair);
        const double c = std::cos(angle) * magnitude();
        const double s = std::sin(angle) * magnitude();
        const bool halves = options_.faults.rope_pairs_as_halves;
        for (std::size_t head = 0; head < x.cols; head += hyper_.head_size) {
          double& a = x[position][head + (halves ? pair : 2 * pair)];
          double& b = x[position][head + (halves ? pair + half : 2 * pair + 1)];
          const double turned = a * c - b * s;
          b = a * s + b * c;
          a = turned;
        }
      }
    }
  }

  // Causal: position t sees 0 to t.
  Rows attention(const Rows& q, const Rows& k, const Rows& v) const {
    const std::size_t size = hyper_.head_size;
    const double scale = 1 / std::sqrt(static_cast<double>(size));
    Rows out(q.count, q.cols);
    in_parallel(hyper_.heads, [&](std::size_t first, std::size_t last) {
      std::vector<double> p(q.count);
      for (std::size_t head = first; head < last; ++head) {
        const std::size_t group = hyper_.heads / hyper_.kv_heads;
        const std::size_t kv = options_.faults.kv_heads_interleaved ? head % hyper_.kv_heads : head / group;
        for (std::size_t t = 0; t < q.count; ++t) {
          double largest = -INFINITY;
          for (std::size_t s = 0; s <= t; ++s) {
            p[s] = 0;
            for (std::size_t i = 0; i < size; ++i) p[s] += q[t][head * size + i] * k[s][kv * size + i];
            p[s] *= scale;
            largest = std::max(largest, p[s]);
          }
          double sum = 0;
          for (std::size_t s = 0; s <= t; ++s) sum += p[s] = std::exp(p[s] - largest);
          for (std::size_t s = 0; s <= t; ++s) {
            for (std::size_t i = 0; i < size; ++i) out[t][head * size + i] += p[s] / sum * v[s][kv * size + i];
          }
        }
      }
    });
    return out;
  }

  const gguf::File& file_;
  const Options& options_;
  Hyper hyper_;
};

}  // namespace

Rows logits(const gguf::File& file, std::span<const std::uint32_t> tokens, const Options& options) {
  return Model(file, options).logits(tokens);
}

}  // namespace reference
