#include "reference/type_mixes.h"

#include <iterator>

#include "quant/encode.h"

namespace reference {
namespace {

// Every type somewhere, two tensors of a layer never of the same type.
Type all_types(std::string_view tensor) {
  static constexpr Type types[] = {Type::Q4_K, Type::F16,  Type::Q6_K,   Type::Q8_0, Type::F32,
                                   Type::Q5_K, Type::BF16, Type::Q2_K,   Type::Q4_0, Type::IQ4_XS,
                                   Type::Q5_1, Type::Q3_K, Type::IQ4_NL, Type::Q4_1, Type::Q5_0};
  static constexpr std::string_view names[] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                               "ffn_gate", "ffn_up", "ffn_down"};
  if (!tensor.starts_with("blk.")) return tensor == "output.weight" ? Type::Q5_K : Type::Q8_0;
  const auto layer = static_cast<std::size_t>(tensor[4] - '0');
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (tensor.find(names[i]) != std::string_view::npos) return types[(i + 7 * layer) % std::size(types)];
  }
  return Type::F32;
}

}  // namespace

std::function<Type(std::string_view tensor)> only(Type type) {
  return [type](std::string_view) { return type; };
}

const std::vector<TypeMix>& float_types() {
  static const std::vector<TypeMix> types = {{"F16", only(Type::F16)}, {"BF16", only(Type::BF16)}};
  return types;
}

const std::vector<TypeMix>& block_types() {
  static const std::vector<TypeMix> types = {
      {"Q8_0", only(Type::Q8_0)},
      {"Q4_0", only(Type::Q4_0)},
      {"Q4_1", only(Type::Q4_1)},
      {"Q5_0", only(Type::Q5_0)},
      {"Q5_1", only(Type::Q5_1)},
      {"IQ4_NL", only(Type::IQ4_NL)},
      {"Q2_K", only(Type::Q2_K)},
      {"Q3_K", only(Type::Q3_K)},
      {"IQ4_XS", only(Type::IQ4_XS)},
      {"Q4_K", only(Type::Q4_K)},
      {"Q5_K", only(Type::Q5_K)},
      {"Q6_K", only(Type::Q6_K)},
      {"Q4_K_M", [](std::string_view tensor) { return q4_k_m(tensor, 8); }},
      {"AllTypes", all_types},
  };
  return types;
}

std::vector<RandomModel> models_of(const TypeMix& mix, std::uint32_t layers) {
  const RandomModel encoded{.layers = layers, .kv_heads = 2, .type = mix.type};
  RandomModel any_bits = encoded;
  any_bits.any_blocks = true;
  if (!quant::can_encode(static_cast<quant::Type>(encoded.type("blk.0.ffn_down.weight")))) return {any_bits};
  RandomModel with_outliers = encoded;
  with_outliers.outliers = true;
  return {encoded, any_bits, with_outliers};
}

const char* kind_of_numbers(const RandomModel& model) {
  return model.any_blocks ? "any_bits" : model.outliers ? "outliers" : "encoded";
}

}  // namespace reference
