#include "cli/recipe.h"

#include <charconv>

namespace cli {
namespace {

using quant::Type;

// The first and last eighth of the layers, and every third between.
bool is_important(std::uint32_t layer, std::uint32_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

}  // namespace

const std::map<std::string, Recipe>& recipes() {
  static const std::map<std::string, Recipe> all = {
      {"F32", {Type::F32, Type::F32, Type::F32, 0}},        {"F16", {Type::F16, Type::F16, Type::F16, 1}},
      {"BF16", {Type::BF16, Type::BF16, Type::BF16, 32}},   {"Q8_0", {Type::Q8_0, Type::Q8_0, Type::Q8_0, 7}},
      {"Q4_K_M", {Type::Q4_K, Type::Q6_K, Type::Q6_K, 15}}, {"Q5_K_M", {Type::Q5_K, Type::Q6_K, Type::Q6_K, 17}},
      {"Q6_K", {Type::Q6_K, Type::Q6_K, Type::Q6_K, 18}},
  };
  return all;
}

quant::Type matrix_type(const Recipe& recipe, std::string_view name, std::uint32_t layers, bool own_output) {
  if (name == (own_output ? "output.weight" : "token_embd.weight")) return recipe.output;
  constexpr std::string_view block = "blk.";
  if (!name.starts_with(block)) return recipe.most;
  std::uint32_t layer = 0;
  std::from_chars(name.data() + block.size(), name.data() + name.size(), layer);
  const bool may_matter = name.ends_with(".attn_v.weight") || name.ends_with(".ffn_down.weight");
  return may_matter && is_important(layer, layers) ? recipe.important : recipe.most;
}

std::size_t type_bytes(quant::Type type, std::size_t elements) {
  const quant::TypeInfo info = quant::type_info(type).value();
  return elements / info.block * info.block_bytes;
}

}  // namespace cli
