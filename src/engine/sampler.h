// How the tokens of one answer are chosen: what was asked for and what was seen so far become the rules by which the
// device draws the next one (compute/candidates.h). In this order: repetition penalty, presence and frequency penalties
// and bias, temperature, min-p, top-k, top-p, and a seeded draw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "compute/candidates.h"
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
  // `vocabulary`: tokens that logits are computed for. A bias of any other is ignored.
  Sampler(const Sampling& sampling, std::size_t vocabulary);

  // Tells of tokens of the prompt, which the repetition penalty counts as seen.
  void see_prompt(std::span<const Token> tokens);
  // Tells of the next token of the answer.
  void accept(Token token);

  // Rules for the token at this position of the sequence, prompt included; valid until the next call of any function.
  compute::SamplingRules rules(std::uint64_t position) const;

 private:
  struct Seen {
    std::size_t edit;             // its place among edits_
    std::uint32_t generated = 0;  // how often
    float bias = 0;
  };

  Seen& seen(Token token);

  Sampling sampling_;
  bool counts_;  // whether it matters how often tokens were generated
  // Kept up to date token by token: a long conversation is not gone through again for each.
  std::unordered_map<Token, Seen> seen_;
  std::vector<compute::LogitEdit> edits_;
};

}  // namespace engine
