#include "reference/random_model.h"

#include <unistd.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "quant/encode.h"
#include "quant/half.h"

namespace reference {
namespace {

using Random = std::mt19937_64;

struct Planned {
  std::string name;
  Type type;
  std::size_t rows;
  std::size_t cols;
  double spread;  // standard deviation of the weights; 0: a norm's gains
};

std::size_t row_bytes(const Planned& t) {
  const BlockSize block = block_size(t.type);
  return t.cols / block.elements * block.bytes;
}

// Spreads are such that activations keep their size from layer to layer, and attention is neither flat nor a spike.
std::vector<Planned> plan(const RandomModel& m) {
  const std::size_t head_size = m.head_size != 0 ? m.head_size : m.hidden / m.heads;
  std::vector<Planned> tensors;
  const auto matrix = [&](const std::string& name, std::size_t rows, std::size_t cols, double spread) {
    tensors.push_back({name, m.type(name), rows, cols, spread});
  };
  const auto gains = [&](const std::string& name) { tensors.push_back({name, Type::F32, 1, m.hidden, 0}); };
  const double by_hidden = 1 / std::sqrt(m.hidden);

  matrix("token_embd.weight", m.vocab, m.hidden, 0.1);
  gains("output_norm.weight");
  if (!m.tied) matrix("output.weight", m.vocab, m.hidden, 0.1);
  for (std::uint32_t layer = 0; layer < m.layers; ++layer) {
    const std::string blk = "blk." + std::to_string(layer) + ".";
    gains(blk + "attn_norm.weight");
    gains(blk + "ffn_norm.weight");
    matrix(blk + "attn_q.weight", m.heads * head_size, m.hidden, 1.3 * by_hidden);
    matrix(blk + "attn_k.weight", m.kv_heads * head_size, m.hidden, 1.3 * by_hidden);
    matrix(blk + "attn_v.weight", m.kv_heads * head_size, m.hidden, by_hidden);
    matrix(blk + "attn_output.weight", m.hidden, m.heads * head_size, by_hidden);
    matrix(blk + "ffn_gate.weight", m.ffn, m.hidden, by_hidden);
    matrix(blk + "ffn_up.weight", m.ffn, m.hidden, by_hidden);
    matrix(blk + "ffn_down.weight", m.hidden, m.ffn, 1 / std::sqrt(m.ffn));
  }
  return tensors;
}

bool is_outlier(std::size_t channel) { return channel % 100 == 37; }

// The embedding's columns and the rows of what adds to the residual stream are fifty times larger at the outlying
// channels; the norms' gains take a part of it back, as trained ones do.
double enlarged(const Planned& t, std::size_t row, std::size_t col) {
  if (t.spread == 0) return is_outlier(col) ? 0.2 : 1;
  const bool by_col = t.name == "token_embd.weight";
  const bool by_row = t.name.ends_with("attn_output.weight") || t.name.ends_with("ffn_down.weight");
  return (by_col && is_outlier(col)) || (by_row && is_outlier(row)) ? 50 : 1;
}

void put_half(std::byte* to, double value) {
  const std::uint16_t bits = quant::float_to_half(static_cast<float>(value));
  std::memcpy(to, &bits, 2);
}

// Bytes of a row of any valid blocks: every bit of the quants, scales and mins is random but for their size, which is
// such that the weights have the spread and, with mins, a mean of about zero. Without, where the values of q are few
// and their mean is not quite zero, half of the blocks have a negative d.
std::vector<std::byte> random_blocks(const Planned& t, Random& random) {
  std::vector<std::byte> row(row_bytes(t));
  for (std::byte& b : row) b = static_cast<std::byte>(random());
  const std::size_t block_bytes = block_size(t.type).bytes;
  const double jitter = 0.8 + 0.4 * static_cast<double>(random() % 1000) / 1000;
  // Root mean squares of uniform q, and of uniform scales.
  constexpr double nibble = 4.61, five_bits = 9.23, pair = 1.118, three_bits = 2.35, non_linear = 67.4;
  constexpr double scale_to_15 = 8.8, scale_from_minus_32 = 18.5;
  const auto either_sign = [&](double d) { return random() % 2 == 0 ? d : -d; };
  for (std::byte* block = row.data(); block != row.data() + row.size(); block += block_bytes) {
    switch (t.type) {
      case Type::Q8_0:
        put_half(block, t.spread / 73.9 * jitter);
        break;  // 73.9: of uniform int8
      case Type::Q4_0:
        put_half(block, either_sign(t.spread / nibble * jitter));
        break;
      case Type::Q5_0:
        put_half(block, either_sign(t.spread / five_bits * jitter));
        break;
      case Type::IQ4_NL:
        put_half(block, either_sign(t.spread / non_linear * jitter));
        break;
      case Type::Q4_1:
      case Type::Q5_1: {
        const bool five = t.type == Type::Q5_1;
        const double d = t.spread / (five ? five_bits : nibble) * jitter;
        put_half(block, d);
        put_half(block + 2, -d * (five ? 15.5 : 7.5));
        break;
      }
      case Type::Q2_K: {
        const double d = t.spread / pair / scale_to_15 * jitter;
        put_half(block + 80, d);
        put_half(block + 82, d * 1.5);
        for (int k = 0; k < 16; ++k) block[k] = (block[k] & std::byte{15}) | (block[k] << 4);  // equal scales and mins
        break;
      }
      case Type::Q3_K:
        put_half(block + 108, either_sign(t.spread / three_bits / scale_from_minus_32 * jitter));
        break;
      case Type::IQ4_XS:
        put_half(block, either_sign(t.spread / non_linear / scale_from_minus_32 * jitter));
        break;
      case Type::Q6_K:
        put_half(block + 208, t.spread / 18.5 / 73.9 * jitter);
        break;
      case Type::Q4_K:
      case Type::Q5_K: {
        const bool five = t.type == Type::Q5_K;
        const double middle = five ? 15.5 : 7.5;
        const double d = t.spread / (five ? 9.2 : 4.6) / 36.5 * jitter;  // 36.5: root mean square of 0 … 63
        put_half(block, d);
        put_half(block + 2, d * middle);
        // Equal scales and mins, so that each group's weights lie about zero: groups 0 to 3 have them in bytes 0 to 3
        // and 4 to 7, groups 4 to 7 in those bytes' top bits and both nibbles of bytes 8 to 11.
        std::byte* scales = block + 4;
        for (int k = 0; k < 4; ++k) {
          scales[4 + k] = scales[k];
          scales[8 + k] = (scales[8 + k] & std::byte{15}) | (scales[8 + k] << 4);
        }
        break;
      }
      default:
        break;
    }
  }
  return row;
}

std::vector<float> numbers(const RandomModel& m, const Planned& t, std::size_t row, Random& random) {
  std::normal_distribution<double> normal(0, t.spread);
  std::uniform_real_distribution<double> gain(0.8, 1.2);
  std::vector<float> values(t.cols);
  for (std::size_t c = 0; c < t.cols; ++c) {
    const double value = t.spread == 0 ? gain(random) : normal(random);
    values[c] = static_cast<float>(m.outliers ? value * enlarged(t, row, c) : value);
  }
  return values;
}

std::filesystem::path unique_path() {
  static std::atomic<int> count{0};
  return std::filesystem::temp_directory_path() /
         ("smollm3-test-" + std::to_string(getpid()) + "-" + std::to_string(count++) + ".gguf");
}

}  // namespace

Type q4_k_m(std::string_view tensor, std::uint32_t layers) {
  if (tensor == "token_embd.weight") return Type::Q6_K;
  if (!tensor.ends_with("attn_v.weight") && !tensor.ends_with("ffn_down.weight")) return Type::Q4_K;
  const auto layer = static_cast<std::uint32_t>(std::stoul(std::string(tensor.substr(4))));
  const std::uint32_t eighth = layers / 8;
  const bool more = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
  return more ? Type::Q6_K : Type::Q4_K;
}

void write_model(const RandomModel& m, const std::filesystem::path& path) {
  gguf::Writer out;
  const std::uint32_t head_size = m.head_size != 0 ? m.head_size : m.hidden / m.heads;
  out.add("general.architecture", "smollm3");
  out.add("smollm3.block_count", m.layers);
  out.add("smollm3.context_length",
          m.yarn_factor == 1 ? 65536 : static_cast<std::uint32_t>(static_cast<float>(m.yarn_context) * m.yarn_factor));
  out.add("smollm3.embedding_length", m.hidden);
  out.add("smollm3.feed_forward_length", m.ffn);
  out.add("smollm3.attention.head_count", m.heads);
  out.add("smollm3.attention.head_count_kv", m.kv_heads);
  out.add("smollm3.attention.layer_norm_rms_epsilon", 1e-6f);
  out.add("smollm3.rope.freq_base", 5e6f);
  out.add("smollm3.rope.dimension_count", head_size);
  out.add("smollm3.vocab_size", m.vocab);
  m.tokenizer(out);
  if (m.head_size != 0) {
    out.add("smollm3.attention.key_length", head_size);
    out.add("smollm3.attention.value_length", head_size);
  }
  if (m.yarn_factor != 1) {
    out.add("smollm3.rope.scaling.type", "yarn");
    out.add("smollm3.rope.scaling.factor", m.yarn_factor);
    out.add("smollm3.rope.scaling.original_context_length", m.yarn_context);
  }
  const std::vector<Planned> tensors = plan(m);
  for (const Planned& t : tensors) {
    std::vector<std::uint64_t> shape{t.cols};
    if (t.spread != 0) shape.push_back(t.rows);
    out.add_tensor(t.name, static_cast<std::uint32_t>(t.type), shape, t.rows * row_bytes(t));
  }
  out.open(path);
  Random random(m.seed);
  for (const Planned& t : tensors) {
    const bool has_blocks = block_size(t.type).elements > 1;
    for (std::size_t r = 0; r < t.rows; ++r) {
      if (has_blocks && (m.any_blocks || !quant::can_encode(static_cast<quant::Type>(t.type)))) {
        out.write(random_blocks(t, random));
        continue;
      }
      std::vector<std::byte> bytes(row_bytes(t));
      quant::encode(static_cast<quant::Type>(t.type), numbers(m, t, r, random), bytes);
      out.write(bytes);
    }
  }
  out.close();
}

TemporaryModel::TemporaryModel(const RandomModel& model) : path_(unique_path()) {
  write_model(model, path_);
  file_ = gguf::File::open(path_);
}

TemporaryModel::~TemporaryModel() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace reference
