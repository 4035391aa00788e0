#include "smollm3/config.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/error.h"

namespace smollm3 {
namespace {

using base::Error;

constexpr const char* architecture = "smollm3";
// The authors' own stretch: 65,536 positions to 131,072.
constexpr double yarn_factor = 2;
// Far above any model of this family; below it no product of two dimensions overflows.
constexpr std::uint64_t largest_dimension = 1u << 24;

std::string key(const char* name) { return std::string(architecture) + '.' + name; }

std::uint32_t dimension(const gguf::File& file, const std::string& name) {
  const std::uint64_t value = file.integer(name);
  if (value == 0 || value > largest_dimension) {
    throw Error(file.name(), "metadata " + name + " is " + std::to_string(value) + ", which no SmolLM3 has",
                "the file is damaged; download it again");
  }
  return static_cast<std::uint32_t>(value);
}

void require(const gguf::File& file, bool holds, const std::string& what) {
  if (!holds) throw Error(file.name(), what, "this program runs SmolLM3 files as llama.cpp converts them");
}

RopeConfig read_rope(const gguf::File& file, std::uint32_t trained) {
  RopeConfig rope;
  rope.base = file.number(key("rope.freq_base"), 5'000'000);
  require(file, std::isfinite(rope.base) && rope.base > 1, "its RoPE base is not a number above 1");
  rope.original_context = trained;
  const std::string_view scaling = file.string(key("rope.scaling.type"), "none");
  if (scaling == "none") return rope;
  require(file, scaling == "yarn", "its RoPE scaling is \"" + std::string(scaling.substr(0, 32)) + "\", not YaRN");
  rope.factor = file.number(key("rope.scaling.factor"), 1);
  require(file, std::isfinite(rope.factor) && rope.factor >= 1 && rope.factor <= 64,
          "its YaRN factor is not within 1 to 64");
  const auto stretched_from = static_cast<std::uint64_t>(trained / rope.factor);
  const std::uint64_t original = file.integer(key("rope.scaling.original_context_length"), stretched_from);
  require(file, original > 0 && original <= largest_dimension, "its YaRN original context is not within reason");
  rope.original_context = static_cast<std::uint32_t>(original);
  require(file, static_cast<double>(original) * rope.factor >= trained,
          "its YaRN factor does not reach its own context length");
  constexpr std::pair<const char*, double> usual[] = {{"rope.scaling.attn_factor", 1},
                                                      {"rope.scaling.yarn_ext_factor", 1},
                                                      {"rope.scaling.yarn_attn_factor", 1},
                                                      {"rope.scaling.yarn_beta_fast", 32},
                                                      {"rope.scaling.yarn_beta_slow", 1}};
  for (const auto& [name, value] : usual) {
    require(file, file.number(key(name), value) == value,
            std::string("its ") + name + " is not " + std::to_string(static_cast<int>(value)));
  }
  return rope;
}

}  // namespace

Config Config::read(const gguf::File& file, std::uint32_t context) {
  const std::string_view found = file.string("general.architecture");
  if (found != architecture) {
    throw Error(file.name(), "holds a model of architecture \"" + std::string(found.substr(0, 32)) + "\"",
                "name a SmolLM3 file: this program runs no other model");
  }
  Config config;
  config.layers = dimension(file, key("block_count"));
  config.hidden = dimension(file, key("embedding_length"));
  config.ffn = dimension(file, key("feed_forward_length"));
  config.heads = dimension(file, key("attention.head_count"));
  config.kv_heads =
      file.find(key("attention.head_count_kv")) ? dimension(file, key("attention.head_count_kv")) : config.heads;
  config.vocab = file.find(key("vocab_size")) ? dimension(file, key("vocab_size"))
                                              : static_cast<std::uint32_t>(file.array("tokenizer.ggml.tokens").count);
  config.context = dimension(file, key("context_length"));
  // Buffers are made for these sizes; those of the real model are 36, 2048, 11008 and 16.
  require(file, config.layers <= 1024, "it claims " + std::to_string(config.layers) + " layers");
  require(file, config.hidden <= 32768 && config.ffn <= 262144 && config.heads <= 1024 && config.vocab <= 1u << 20,
          "its dimensions are larger than any SmolLM3's");
  require(file, config.heads % config.kv_heads == 0, "its query heads are not a multiple of its key/value heads");

  config.head_size = file.find(key("attention.key_length")) ? dimension(file, key("attention.key_length"))
                                                            : config.hidden / config.heads;
  require(file, file.integer(key("attention.value_length"), config.head_size) == config.head_size,
          "its keys and values differ in size");
  require(file, file.integer(key("rope.dimension_count"), config.head_size) == config.head_size,
          "its RoPE covers only a part of each head");
  require(file, config.head_size % 16 == 0 && config.head_size > 0 && config.head_size <= 512,
          "its head size of " + std::to_string(config.head_size) + " is not a multiple of 16 up to 512");
  require(file,
          config.hidden % 32 == 0 && config.ffn % 32 == 0 && config.query_size() % 32 == 0 &&
              config.query_size() <= largest_dimension,
          "its dimensions are not multiples of 32");

  const double epsilon = file.number(key("attention.layer_norm_rms_epsilon"), 1e-6);
  require(file, std::isfinite(epsilon) && epsilon >= 1e-12 && epsilon < 1,
          "its norm epsilon is not between 1e-12 and 1");
  config.norm_epsilon = static_cast<float>(epsilon);

  config.rope = read_rope(file, config.context);
  if (context == 0 || context <= config.context) return config;
  const auto furthest =
      static_cast<std::uint64_t>(config.rope.original_context * std::max(config.rope.factor, yarn_factor));
  if (context > furthest) {
    throw Error("--ctx " + std::to_string(context),
                "the model holds at most " + std::to_string(furthest) + " positions", "ask for no more than that");
  }
  // More than the file was made for: stretch it once, from what it was trained on.
  config.rope.factor = std::max(config.rope.factor, yarn_factor);
  config.context = static_cast<std::uint32_t>(furthest);
  return config;
}

}  // namespace smollm3
