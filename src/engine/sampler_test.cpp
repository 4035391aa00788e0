#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "base/error.h"

namespace engine {
namespace {

std::vector<float> random_logits(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

// The definition, straightforwardly: temperature, min-p, top-k, top-p over a full sort; token to probability.
std::map<Token, double> reference(const std::vector<float>& logits, const Sampling& s) {
  std::vector<std::pair<double, Token>> all;
  const double highest = *std::max_element(logits.begin(), logits.end());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    all.emplace_back(std::exp((static_cast<double>(logits[i]) - highest) / static_cast<double>(s.temperature)),
                     static_cast<Token>(i));
  }
  std::stable_sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.first > b.first; });
  double sum = 0;
  if (s.top_k != 0 && s.top_k < all.size()) all.resize(s.top_k);
  for (auto& [weight, token] : all) sum += weight;
  std::map<Token, double> kept;
  double mass = 0;
  for (auto& [weight, token] : all) {
    if (weight < static_cast<double>(s.min_p)) break;
    if (!kept.empty() && mass >= static_cast<double>(s.top_p) * sum) break;
    kept[token] = weight;
    mass += weight;
  }
  for (auto& [token, weight] : kept) weight /= mass;
  return kept;
}

// Draws many times and compares frequencies with the definition by a chi-squared test at five standard deviations.
void expect_frequencies(const Sampling& sampling) {
  const auto logits = random_logits(50, 3);
  const auto expected = reference(logits, sampling);
  constexpr int draws = 20000;
  std::map<Token, int> counts;
  Sampler sampler(sampling);
  for (int i = 0; i < draws; ++i) {
    auto copy = logits;
    ++counts[sampler.next(copy)];
  }
  double chi_squared = 0;
  double rest_expected = 0, rest_counted = 0;  // rare tokens are pooled
  int cells = 0;
  for (const auto& [token, probability] : expected) {
    const double mean = probability * draws;
    if (mean < 10) {
      rest_expected += mean;
      rest_counted += counts[token];
    } else {
      chi_squared += (counts[token] - mean) * (counts[token] - mean) / mean;
      ++cells;
    }
  }
  if (rest_expected > 0) chi_squared += (rest_counted - rest_expected) * (rest_counted - rest_expected) / rest_expected;
  EXPECT_LT(chi_squared, cells + 5 * std::sqrt(2.0 * cells) + 5);
  for (const auto& [token, count] : counts)
    EXPECT_TRUE(count == 0 || expected.contains(token)) << "token " << token << " is not among those kept";
}

TEST(Sampler, FrequenciesFollowTheDistribution) {
  expect_frequencies({.temperature = 1, .top_p = 1});
  expect_frequencies({.temperature = 0.6f, .top_p = 0.95f});
  expect_frequencies({.temperature = 1, .top_k = 5, .top_p = 1});
  expect_frequencies({.temperature = 1.5f, .top_k = 10, .top_p = 0.7f});
  expect_frequencies({.temperature = 1, .top_p = 1, .min_p = 0.1f});
}

TEST(Sampler, ZeroTemperatureTakesTheMostLikely) {
  Sampler sampler({.temperature = 0});
  std::vector<float> logits = {1, 5, 5, 2};
  EXPECT_EQ(sampler.next(logits), 1);
}

TEST(Sampler, SameSeedSameTokens) {
  for (const std::uint64_t seed : {1u, 2u}) {
    Sampler a({.seed = seed}), b({.seed = seed});
    for (unsigned i = 0; i < 100; ++i) {
      auto x = random_logits(100, i), y = x;
      EXPECT_EQ(a.next(x), b.next(y));
    }
  }
}

TEST(Sampler, PenaltiesAndBiasMoveTheChoice) {
  const std::vector<float> logits = {2, 1.9f, -1};
  auto scratch = logits;
  Sampler repetition({.temperature = 0, .repetition_penalty = 1.5f});
  EXPECT_EQ(repetition.next(scratch = logits), 0);
  EXPECT_EQ(repetition.next(scratch = logits), 1);
  Sampler prompted({.temperature = 0, .repetition_penalty = 1.5f});
  prompted.see_prompt(std::vector<Token>{0});
  EXPECT_EQ(prompted.next(scratch = logits), 1);
  Sampler presence({.temperature = 0, .presence_penalty = 0.5f});
  EXPECT_EQ(presence.next(scratch = logits), 0);
  EXPECT_EQ(presence.next(scratch = logits), 1);
  Sampler frequency({.temperature = 0, .frequency_penalty = 0.06f});
  EXPECT_EQ(frequency.next(scratch = logits), 0);
  EXPECT_EQ(frequency.next(scratch = logits), 0);
  EXPECT_EQ(frequency.next(scratch = logits), 1);
  Sampler bias({.temperature = 0, .logit_bias = {{2, 100.0f}}});
  EXPECT_EQ(bias.next(scratch = logits), 2);
}

TEST(Sampler, LogitsThatAreNotFiniteAreAnError) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    Sampler sampler({.temperature = 0});
    std::vector<float> logits = {1, bad, 2};
    EXPECT_THROW(sampler.next(logits), base::Error);
  }
}

TEST(Sampler, ParametersOutOfRangeAreRefused) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(Sampling{.temperature = -1}.check(), base::Error);
  EXPECT_THROW(Sampling{.temperature = nan}.check(), base::Error);
  EXPECT_THROW(Sampling{.top_p = -0.1f}.check(), base::Error);
  EXPECT_THROW(Sampling{.top_p = nan}.check(), base::Error);
  EXPECT_THROW(Sampling{.min_p = 2}.check(), base::Error);
  EXPECT_THROW(Sampling{.repetition_penalty = 0}.check(), base::Error);
  EXPECT_NO_THROW(Sampling{}.check());
}

}  // namespace
}  // namespace engine
