#include "engine/sampler.h"

#include <cmath>
#include <string>

#include "base/error.h"

namespace engine {
namespace {

void require(bool holds, const char* parameter, const char* range) {
  if (!holds) throw base::Error(parameter, "is out of range", std::string("give ") + range);
}

}  // namespace

void Sampling::check() const {
  // Written so that NaN fails too.
  require(temperature >= 0 && temperature <= 100, "temperature", "a number from 0 to 100");
  require(top_p >= 0 && top_p <= 1, "top_p", "a number from 0 to 1");
  require(min_p >= 0 && min_p <= 1, "min_p", "a number from 0 to 1");
  require(repetition_penalty > 0 && repetition_penalty <= 10, "repetition_penalty", "a number above 0, up to 10");
  require(std::abs(presence_penalty) <= 10, "presence_penalty", "a number from -10 to 10");
  require(std::abs(frequency_penalty) <= 10, "frequency_penalty", "a number from -10 to 10");
  for (const auto& [token, bias] : logit_bias)
    require(std::abs(bias) <= 1000, "logit_bias", "numbers from -1000 to 1000");
}

Sampler::Sampler(const Sampling& sampling, std::size_t vocabulary)
    : sampling_(sampling), counts_(sampling.presence_penalty != 0 || sampling.frequency_penalty != 0) {
  for (const auto& [token, bias] : sampling_.logit_bias) {
    if (token < 0 || static_cast<std::size_t>(token) >= vocabulary) continue;
    Seen& biased = seen(token);
    biased.bias = bias;
    edits_[biased.edit].add = bias;
  }
}

Sampler::Seen& Sampler::seen(Token token) {
  const auto [it, is_new] = seen_.try_emplace(token, Seen{edits_.size()});
  if (is_new) edits_.push_back({.token = static_cast<std::uint32_t>(token)});
  return it->second;
}

void Sampler::see_prompt(std::span<const Token> tokens) {
  if (sampling_.repetition_penalty == 1) return;
  for (const Token token : tokens) edits_[seen(token).edit].penalty = sampling_.repetition_penalty;
}

void Sampler::accept(Token token) {
  see_prompt({&token, 1});
  if (!counts_) return;
  Seen& counted = seen(token);
  ++counted.generated;
  edits_[counted.edit].add =
      counted.bias - (sampling_.presence_penalty + sampling_.frequency_penalty * static_cast<float>(counted.generated));
}

compute::SamplingRules Sampler::rules(std::uint64_t position) const {
  return {.edits = edits_,
          .temperature = sampling_.temperature,
          .top_k = sampling_.top_k,
          .top_p = sampling_.top_p,
          .min_p = sampling_.min_p,
          .random = compute::random_at(sampling_.seed, position)};
}

}  // namespace engine
