// Choosing the next token: what a device is told about a row of logits, and what it answers. The choice is defined to
// the bit in docs/numerics.md, "Sampling".
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace compute {

// How a token's logit l is changed: (l > 0 ? l / penalty : l * penalty) + add.
struct LogitEdit {
  std::uint32_t token = 0;
  float penalty = 1;  // above 0
  float add = 0;
};

inline constexpr std::uint32_t most_alternatives = 20;
inline constexpr std::size_t most_candidates = std::size_t{1} << 23;  // tokens of a vocabulary

// For one row of logits. What the spans refer to belongs to the caller and is read during the call alone.
struct SamplingRules {
  std::span<const LogitEdit> edits = {};        // in any order, at most one for each token
  std::span<const std::uint64_t> allowed = {};  // bit t % 64 of word t / 64: token t may be drawn; empty: all may
  float temperature = 1;                        // 0: the most likely token
  std::uint32_t top_k = 0;                      // keep the k most likely tokens; 0: all
  float top_p = 1;                              // keep the smallest set of most likely tokens with this probability
  float min_p = 0;                              // keep tokens at least this fraction as likely as the most likely
  std::uint64_t random = 0;                     // random_at(seed, position of the token to be drawn)
  // How many of the most likely tokens to name, at most most_alternatives; with a number, even 0, log-probabilities are
  // computed.
  std::optional<std::uint32_t> alternatives = {};
};

// The natural logarithm of a token's probability by the model: before edits, mask and temperature.
struct LogProbability {
  std::uint32_t token = 0;
  double value = 0;
};

struct Choice {
  bool finite = true;  // false: some logit is NaN or infinite, and nothing was drawn
  std::uint32_t token = 0;
  double log_probability = 0;                     // of the token, if asked for
  std::vector<LogProbability> alternatives = {};  // as many as asked for (and exist), most likely first
};

// Number position + 1 of the SplitMix64 generator that starts at `seed` (Steele, Lea, Flood 2014). It is computed from
// the position alone, so a draw depends neither on those before it nor on where a conversation was taken up again.
constexpr std::uint64_t random_at(std::uint64_t seed, std::uint64_t position) {
  std::uint64_t z = seed + (position + 1) * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

}  // namespace compute
