#include "reference/golden.h"

#include <cstdio>
#include <fstream>
#include <iterator>
#include <ostream>

#include "reference/ours.h"

namespace reference {

std::span<const GoldenModel> golden_models() {
  static const GoldenModel models[] = {
      {"llama_cpp", "tied", {.layers = 8, .hidden = 128, .ffn = 256, .heads = 4, .kv_heads = 2, .vocab = 131}},
      {"llama_cpp",
       "yarn",
       {.layers = 8, .hidden = 128, .ffn = 256, .heads = 4, .kv_heads = 2, .vocab = 131, .yarn_factor = 2}},
      {"llama_cpp",
       "own_head",
       {.layers = 5, .hidden = 192, .ffn = 320, .heads = 6, .kv_heads = 2, .vocab = 131, .tied = false}},
      // Groups of four, one and two query heads. YaRN over so few positions that its ramp lies among pairs that turn.
      {"transformers", "tied", {.layers = 5, .hidden = 128, .ffn = 32, .heads = 8, .kv_heads = 2, .vocab = 97}},
      {"transformers",
       "own_head",
       {.layers = 8, .hidden = 32, .ffn = 64, .heads = 2, .kv_heads = 2, .vocab = 97, .tied = false}},
      {"transformers",
       "yarn",
       {.layers = 5,
        .hidden = 64,
        .ffn = 64,
        .heads = 4,
        .kv_heads = 2,
        .vocab = 97,
        .yarn_factor = 4,
        .yarn_context = 1024}},
  };
  return models;
}

void PrintTo(const GoldenModel& model, std::ostream* out) { *out << model.peer << ' ' << model.name; }

std::vector<std::uint32_t> golden_tokens(const GoldenModel& model) {
  return random_tokens(golden_positions().back() + 1, model.shape.vocab);
}

std::span<const std::size_t> golden_positions() {
  static constexpr std::size_t positions[] = {0, 1, 30, 63, 64, 65, 127, 128, 170, 211, 256, 299};
  return positions;
}

std::string fingerprint(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::istreambuf_iterator<char> at(in), end; at != end; ++at) {
    hash = (hash ^ static_cast<unsigned char>(*at)) * 0x100000001b3;
  }
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

}  // namespace reference
