#include "smollm3/weights.h"

#include <cmath>
#include <string>

#include "base/error.h"

namespace smollm3 {
namespace {

using base::Error;

std::string describe(const std::vector<std::uint64_t>& shape) {
  std::string text;
  for (const std::uint64_t size : shape) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

// Finds tensors and checks them; counts what it found so that leftovers show.
class Reader {
 public:
  explicit Reader(const gguf::File& file) : file_(file) {}

  compute::Matrix matrix(const std::string& name, std::size_t rows, std::size_t cols) {
    const gguf::Tensor& tensor = find(name, {cols, rows});
    const auto type = static_cast<quant::Type>(tensor.type);
    if (!compute::can_multiply(type)) {
      const auto info = quant::type_info(type);
      refuse(
          name,
          "is of type " + (info ? std::string(info->name) : std::to_string(tensor.type)) + ", which does not run here",
          "use a file of Q2_K to Q6_K, Q4_0 to Q8_0, IQ4_NL, IQ4_XS, F16, BF16 or F32");
    }
    return {.type = type, .rows = rows, .cols = cols, .data = bytes(tensor, name)};
  }

  std::span<const float> vector(const std::string& name, std::size_t size) {
    const gguf::Tensor& tensor = find(name, {size});
    if (static_cast<quant::Type>(tensor.type) != quant::Type::F32) refuse(name, "is not of type F32", damaged);
    const auto data = bytes(tensor, name);
    return {reinterpret_cast<const float*>(data.data()), size};
  }

  bool has(const std::string& name) const { return file_.tensor(name) != nullptr; }

  void check_nothing_left() const {
    if (found_ != file_.tensors().size()) {
      throw Error(file_.name(),
                  "has " + std::to_string(file_.tensors().size()) + " tensors where SmolLM3 of this size has " +
                      std::to_string(found_),
                  "it is of another model, or damaged");
    }
  }

 private:
  static constexpr const char* damaged = "the file is damaged or of another model";

  [[noreturn]] void refuse(const std::string& name, const std::string& why, const char* remedy) const {
    throw Error(file_.name(), "tensor " + name + " " + why, remedy);
  }

  const gguf::Tensor& find(const std::string& name, const std::vector<std::uint64_t>& shape) {
    const gguf::Tensor* tensor = file_.tensor(name);
    if (!tensor) throw Error(file_.name(), "lacks the tensor " + name, damaged);
    if (tensor->shape != shape)
      refuse(name, "has the shape " + describe(tensor->shape) + " instead of " + describe(shape), damaged);
    ++found_;
    return *tensor;
  }

  // The tensor's bytes, which must be whole blocks and end before the next tensor.
  std::span<const std::byte> bytes(const gguf::Tensor& tensor, const std::string& name) const {
    const quant::TypeInfo info = quant::type_info(static_cast<quant::Type>(tensor.type)).value();
    if (tensor.shape[0] % info.block != 0) {
      refuse(name, "has rows that are no whole number of " + std::string(info.name) + " blocks", damaged);
    }
    const std::uint64_t blocks = tensor.elements() / info.block;
    if (blocks > tensor.room.size() / info.block_bytes)
      refuse(name, "runs into the next one or past the end of the file", "download the file again");
    if (reinterpret_cast<std::uintptr_t>(tensor.room.data()) % alignof(float) != 0) {
      refuse(name, "does not begin at a multiple of four bytes", damaged);
    }
    return tensor.room.first(static_cast<std::size_t>(blocks * info.block_bytes));
  }

  const gguf::File& file_;
  std::size_t found_ = 0;
};

}  // namespace

Weights Weights::read(const gguf::File& file, const Config& config) {
  Reader reader(file);
  Weights weights;
  weights.embedding = reader.matrix("token_embd.weight", config.vocab, config.hidden);
  for (std::uint32_t i = 0; i < config.layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + '.';
    LayerWeights layer;
    layer.attention_norm = reader.vector(block + "attn_norm.weight", config.hidden);
    layer.q = reader.matrix(block + "attn_q.weight", config.query_size(), config.hidden);
    layer.k = reader.matrix(block + "attn_k.weight", config.kv_size(), config.hidden);
    layer.v = reader.matrix(block + "attn_v.weight", config.kv_size(), config.hidden);
    layer.o = reader.matrix(block + "attn_output.weight", config.hidden, config.query_size());
    layer.ffn_norm = reader.vector(block + "ffn_norm.weight", config.hidden);
    layer.gate = reader.matrix(block + "ffn_gate.weight", config.ffn, config.hidden);
    layer.up = reader.matrix(block + "ffn_up.weight", config.ffn, config.hidden);
    layer.down = reader.matrix(block + "ffn_down.weight", config.hidden, config.ffn);
    weights.layers.push_back(layer);
  }
  weights.output_norm = reader.vector("output_norm.weight", config.hidden);
  weights.output =
      reader.has("output.weight") ? reader.matrix("output.weight", config.vocab, config.hidden) : weights.embedding;
  if (reader.has("rope_freqs.weight")) {
    throw Error(file.name(), "has RoPE factors of its own (rope_freqs.weight)",
                "SmolLM3 has none; it is another model");
  }
  reader.check_nothing_left();
  return weights;
}

}  // namespace smollm3
