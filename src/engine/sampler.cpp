#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"

namespace engine {
namespace {

void require(bool holds, const char* parameter, const char* range) {
  if (!holds) throw base::Error(parameter, "is out of range", std::string("give ") + range);
}

// Uniform in [0, 1), the same on every platform, unlike std::uniform_real_distribution.
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

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

Sampler::Sampler(const Sampling& sampling) : sampling_(sampling), random_(sampling.seed) {}

void Sampler::see_prompt(std::span<const Token> tokens) {
  if (sampling_.repetition_penalty == 1) return;
  seen_.insert(tokens.begin(), tokens.end());
}

Token Sampler::next(std::span<float> logits) {
  if (!std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); })) {
    throw base::Error(base::ErrorKind::Internal, "logits",
                      "are not finite: the model file is damaged or not a language model", "download it again");
  }
  penalise(logits);
  const Token token = sampling_.temperature == 0
                          ? static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin())
                          : draw(logits);
  ++generated_[token];
  if (sampling_.repetition_penalty != 1) seen_.insert(token);
  return token;
}

void Sampler::penalise(std::span<float> logits) const {
  const auto within = [&](Token token) { return token >= 0 && static_cast<std::size_t>(token) < logits.size(); };
  for (const Token token : seen_) {
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = logit > 0 ? logit / sampling_.repetition_penalty : logit * sampling_.repetition_penalty;
  }
  if (sampling_.presence_penalty != 0 || sampling_.frequency_penalty != 0) {
    for (const auto& [token, count] : generated_) {
      logits[static_cast<std::size_t>(token)] -=
          sampling_.presence_penalty + sampling_.frequency_penalty * static_cast<float>(count);
    }
  }
  for (const auto& [token, bias] : sampling_.logit_bias) {
    if (within(token)) logits[static_cast<std::size_t>(token)] += bias;
  }
}

Token Sampler::draw(std::span<const float> logits) {
  // Weights relative to the most likely token: exp((logit - max) / temperature).
  const float highest = *std::max_element(logits.begin(), logits.end());
  const double inverse = 1.0 / static_cast<double>(sampling_.temperature);
  weights_.resize(logits.size());
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    weights_[i] = std::exp((static_cast<double>(logits[i]) - static_cast<double>(highest)) * inverse);
    sum += weights_[i];
  }
  // Tokens below this cannot be among those kept, so they need not be sorted. For top-p: all tokens of weight under
  // (1 - p) * sum / n weigh less than (1 - p) * sum together, hence the others suffice.
  const double p = static_cast<double>(sampling_.top_p);
  double least = static_cast<double>(sampling_.min_p);
  if (sampling_.top_k == 0) least = std::max(least, (1 - p) * sum / static_cast<double>(logits.size()));
  candidates_.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (weights_[i] >= least) candidates_.push_back({weights_[i], static_cast<Token>(i)});
  }
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.weight > b.weight || (a.weight == b.weight && a.token < b.token);
  };
  if (sampling_.top_k != 0 && sampling_.top_k < candidates_.size()) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + sampling_.top_k, candidates_.end(), likelier);
    candidates_.resize(sampling_.top_k);
  } else {
    std::sort(candidates_.begin(), candidates_.end(), likelier);
  }
  // Top-p counts against the weight of the tokens that top-k left; without top-k, of the whole vocabulary.
  if (sampling_.top_k != 0) {
    sum = 0;
    for (const Candidate& candidate : candidates_) sum += candidate.weight;
  }
  double kept = 0;
  std::size_t count = 0;
  while (count < candidates_.size() && (count == 0 || kept < p * sum)) kept += candidates_[count++].weight;

  double at = uniform(random_) * kept;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    at -= candidates_[i].weight;
    if (at < 0) return candidates_[i].token;
  }
  return candidates_[count - 1].token;
}

}  // namespace engine
