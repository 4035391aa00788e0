#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <random>

#include "base/error.h"
#include "compute/compute.h"

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

// A sampler and the device that draws, for the tokens of one answer after an empty prompt.
class Drawn {
 public:
  explicit Drawn(const Sampling& sampling, std::size_t vocabulary) : sampler(sampling, vocabulary) {}

  Token next(const std::vector<float>& logits) {
    const compute::Buffer row = device_->allocate(1, logits.size());
    device_->write(logits, row.view());
    const compute::SamplingRules rules = sampler.rules(position_++);
    compute::Choice choice;
    device_->candidates(row.view(), {&rules, 1}, {&choice, 1});
    EXPECT_TRUE(choice.finite);
    const auto token = static_cast<Token>(choice.token);
    sampler.accept(token);
    return token;
  }

  Sampler sampler;

 private:
  std::unique_ptr<compute::Device> device_ = compute::make_cpu_device(1);
  std::uint64_t position_ = 0;
};

// Draws many times and compares frequencies with the definition by a chi-squared test at five standard deviations.
void expect_frequencies(const Sampling& sampling) {
  const auto logits = random_logits(50, 3);
  const auto expected = reference(logits, sampling);
  constexpr int draws = 20000;
  std::map<Token, int> counts;
  Drawn drawn(sampling, logits.size());
  for (int i = 0; i < draws; ++i) ++counts[drawn.next(logits)];
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

TEST(Sampler, ZeroTemperatureTakesTheMostLikely) { EXPECT_EQ(Drawn({.temperature = 0}, 4).next({1, 5, 5, 2}), 1); }

// A draw depends on seed and position, not on the draws before it.
TEST(Sampler, SameSeedAndPositionSameRandomNumber) {
  Sampler a({.seed = 1}, 100), b({.seed = 1}, 100), other({.seed = 2}, 100);
  a.accept(5);
  EXPECT_EQ(a.rules(7).random, b.rules(7).random);
  EXPECT_NE(a.rules(8).random, b.rules(7).random);
  EXPECT_NE(other.rules(7).random, b.rules(7).random);
}

TEST(Sampler, PenaltiesAndBiasMoveTheChoice) {
  const std::vector<float> logits = {2, 1.9f, -1};
  Drawn repetition({.temperature = 0, .repetition_penalty = 1.5f}, 3);
  EXPECT_EQ(repetition.next(logits), 0);
  EXPECT_EQ(repetition.next(logits), 1);
  Drawn prompted({.temperature = 0, .repetition_penalty = 1.5f}, 3);
  prompted.sampler.see_prompt(std::vector<Token>{0});
  EXPECT_EQ(prompted.next(logits), 1);
  Drawn presence({.temperature = 0, .presence_penalty = 0.5f}, 3);
  EXPECT_EQ(presence.next(logits), 0);
  EXPECT_EQ(presence.next(logits), 1);
  Drawn frequency({.temperature = 0, .frequency_penalty = 0.06f}, 3);
  EXPECT_EQ(frequency.next(logits), 0);
  EXPECT_EQ(frequency.next(logits), 0);
  EXPECT_EQ(frequency.next(logits), 1);
  Drawn bias({.temperature = 0, .logit_bias = {{2, 100.0f}}}, 3);
  EXPECT_EQ(bias.next(logits), 2);
}

TEST(Sampler, EachTokenHasOneEditThatIsUpToDate) {
  Sampler sampler({.repetition_penalty = 1.5f,
                   .presence_penalty = 0.5f,
                   .frequency_penalty = 0.25f,
                   .logit_bias = {{7, 3.0f}, {100, 1.0f}, {-1, 1.0f}}},
                  100);
  sampler.see_prompt(std::vector<Token>{3, 3, 7, 9});
  for (const Token token : {3, 3, 4}) sampler.accept(token);
  std::map<std::uint32_t, std::pair<float, float>> edits;
  for (const compute::LogitEdit& edit : sampler.rules(0).edits) {
    EXPECT_TRUE(edits.emplace(edit.token, std::pair(edit.penalty, edit.add)).second) << edit.token;
  }
  const std::map<std::uint32_t, std::pair<float, float>> expected = {
      {3, {1.5f, -1.0f}}, {4, {1.5f, -0.75f}}, {7, {1.5f, 3.0f}}, {9, {1.5f, 0.0f}}};
  EXPECT_EQ(edits, expected);

  Sampler plain({}, 100);
  plain.see_prompt(std::vector<Token>{1, 2});
  plain.accept(3);
  EXPECT_TRUE(plain.rules(0).edits.empty());
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
