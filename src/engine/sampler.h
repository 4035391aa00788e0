// Choosing the next token from logits. In this order: repetition penalty, presence and frequency penalties, bias,
// temperature, min-p, top-k, top-p, and a seeded draw.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "smollm3/tokenizer.h"

namespace engine {

using smollm3::Token;

struct Sampling {
  float temperature = 0.6f;      // 0: always the most likely token
  std::uint32_t top_k = 0;       // keep the k most likely tokens; 0: all
  float top_p = 0.95f;           // keep the smallest set of most likely tokens with this probability in all; 1: all
  float min_p = 0;               // keep tokens at least this fraction as likely as the most likely; 0: all
  float repetition_penalty = 1;  // divides positive and multiplies negative logits of tokens seen (arXiv:1909.05858)
  float presence_penalty = 0;    // subtracted from the logits of generated tokens (OpenAI)
  float frequency_penalty = 0;   // the same, times how often each was generated
  std::unordered_map<Token, float> logit_bias = {};  // added to logits
  std::uint64_t seed = 0;

  // Throws base::Error naming the parameter that is out of range.
  void check() const;
};

class Sampler {
 public:
  explicit Sampler(const Sampling& sampling);

  // Tells of tokens of the prompt, which the repetition penalty counts as seen.
  void see_prompt(std::span<const Token> tokens);

  // The next token; it is counted as generated. `logits` is scratch afterwards. Throws base::Error if a logit is NaN or
  // infinite: the file or the arithmetic is broken, and any choice would be a lie.
  Token next(std::span<float> logits);

 private:
  struct Candidate {
    double weight;  // relative to the most likely token's
    Token token;
  };

  void penalise(std::span<float> logits) const;
  Token draw(std::span<const float> logits);

  Sampling sampling_;
  std::mt19937_64 random_;
  std::unordered_map<Token, std::uint32_t> generated_;  // token to how often
  std::unordered_set<Token> seen_;                      // prompt and generated, if they are penalised
  std::vector<double> weights_;
  std::vector<Candidate> candidates_;
};

}  // namespace engine
