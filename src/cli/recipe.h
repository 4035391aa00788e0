// The types that a whole model's tensors get, by the recipes' usual names: "Q4_K_M", "Q6_K", …
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "quant/type.h"

namespace cli {

struct Recipe {
  quant::Type most;
  quant::Type output;       // the output head, or the embedding that serves as it
  quant::Type important;    // attn_v and ffn_down of the layers that quantisation harms most
  std::uint32_t file_type;  // general.file_type
};

const std::map<std::string, Recipe>& recipes();

// The type of the matrix of that name in a model of so many layers; vectors stay F32. `own_output` says whether the
// model has an output head beside the embedding.
quant::Type matrix_type(const Recipe& recipe, std::string_view name, std::uint32_t layers, bool own_output);

// Bytes of so many elements, a whole number of blocks, of a type that is known.
std::size_t type_bytes(quant::Type type, std::size_t elements);

}  // namespace cli
