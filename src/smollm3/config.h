// The model's dimensions and constants, read from a GGUF file's metadata.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gguf/gguf.h"

namespace smollm3 {

// Rotary position embedding, optionally stretched by YaRN (arXiv:2309.00071).
struct RopeConfig {
  double base = 5'000'000;                  // of the geometric sequence of wavelengths
  double factor = 1;                        // YaRN: context is stretched by this; 1 means off
  std::uint32_t original_context = 65'536;  // positions seen in training, which the stretch starts from
};

struct Config {
  std::uint32_t layers = 0;
  std::uint32_t hidden = 0;    // size of the residual stream
  std::uint32_t ffn = 0;       // size between gate/up and down
  std::uint32_t heads = 0;     // query heads
  std::uint32_t kv_heads = 0;  // key/value heads; heads / kv_heads queries share one
  std::uint32_t head_size = 0;
  std::uint32_t vocab = 0;    // tokens, and logits
  std::uint32_t context = 0;  // positions the model was made for, after stretching
  float norm_epsilon = 1e-6f;
  RopeConfig rope;

  std::size_t query_size() const { return std::size_t{heads} * head_size; }
  std::size_t kv_size() const { return std::size_t{kv_heads} * head_size; }

  // Every fourth layer has no position embedding (NoPE, arXiv:2501.18795).
  static bool has_rope(std::uint32_t layer) { return (layer + 1) % 4 != 0; }

  // Throws base::Error if the file is of another architecture or its figures do not fit together. `context` is the
  // number of positions asked for, 0 for the file's own: more than the model was trained for turns YaRN on.
  static Config read(const gguf::File& file, std::uint32_t context = 0);
};

}  // namespace smollm3
