// SmolLM3's forward pass in float64: naive, so that it can be checked by eye against the papers, and sharing nothing
// with the program but the reading of GGUF headers. It is the oracle of the tests beside it and of docs/fidelity.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "reference/decode.h"

namespace reference {

// A matrix of doubles, one row for each token.
struct Rows {
  std::size_t count = 0;
  std::size_t cols = 0;
  std::vector<double> data;  // {count, cols}

  Rows(std::size_t n, std::size_t c) : count(n), cols(c), data(n * c) {}
  std::span<double> operator[](std::size_t i) { return std::span(data).subspan(i * cols, cols); }
  std::span<const double> operator[](std::size_t i) const { return std::span(data).subspan(i * cols, cols); }
};

// Mistakes an implementation could make, put into this one to see that the comparison notices them.
struct Faults {
  bool rope_on_nope_layers = false;
  bool nope_on_first_of_four = false;  // layers 0, 4, … lack RoPE instead of 3, 7, …
  bool rope_pairs_as_halves = false;   // element i turns with i + head_size / 2 instead of 2i with 2i + 1
  bool yarn_ignored = false;
  bool yarn_without_magnitude = false;  // angles stretched, cos and sin not scaled
  bool yarn_without_stretch = false;    // cos and sin scaled, angles not stretched
  bool yarn_bounds_unrounded = false;   // the ramp from where a pair would be, not from a whole pair to a whole pair
  bool kv_heads_interleaved = false;    // query head h reads key/value head h % kv_heads instead of h / group
  std::optional<std::size_t> skipped_layer = std::nullopt;
  std::optional<DroppedMins> dropped_mins = std::nullopt;
};

struct Options {
  // Products see their input as the program's do: int8 in groups of 256 (K-quants) or 32 (Q8_0), one scale each.
  bool int8_activations = false;
  // YaRN's stretch, where the file's metadata does not ask for one.
  double yarn_factor = 1;
  Faults faults = {};
};

// The logits after each of the tokens, which stand at positions 0, 1, …: one row of `vocab` each.
Rows logits(const gguf::File& file, std::span<const std::uint32_t> tokens, const Options& options = {});

}  // namespace reference
