// Device::candidates, held to a reference that sorts the whole vocabulary and draws with 128-bit integers, written
// straight from docs/numerics.md; with every instruction set and numbers of threads.
#include "compute/candidates.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/processor.h"
#include "base/thread_pool.h"
#include "compute/cpu/candidates_test_support.h"
#include "compute/cpu/isa.h"
#include "compute/cpu/test_support.h"
#include "compute/sampling.h"

namespace compute::cpu::test {
namespace {

__extension__ typedef unsigned __int128 Wide;
constexpr float largest = std::numeric_limits<float>::max();

float exponential(float x) {
  alignas(64) std::array<float, 16> lanes{};
  lanes[0] = x;
  scalar_kernels().exponential(lanes.data(), 16, lanes.data());
  return lanes[0];
}

std::vector<std::uint64_t> weights_of(const std::vector<float>& logits, float inverse) {
  const float greatest = *std::max_element(logits.begin(), logits.end());
  std::vector<std::uint64_t> weights;
  for (const float logit : logits) {
    weights.push_back(static_cast<std::uint64_t>(std::lrint(exponential((logit - greatest) * inverse) * 0x1p30F)));
  }
  return weights;
}

std::uint64_t total(const std::vector<std::uint64_t>& weights) {
  return std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
}

// The tokens, most likely first.
template <typename T>
std::vector<std::uint32_t> ordered(const std::vector<T>& likelihood) {
  std::vector<std::uint32_t> order(likelihood.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return likelihood[a] > likelihood[b]; });
  return order;
}

Choice reference(const Case& c) {
  std::vector<float> logits = c.logits;
  SamplingRules rules = c.rules;
  rules.edits = c.edits;
  rules.allowed = c.allowed;
  const base::FlushDenormals flush;
  Choice choice;
  for (const float logit : logits) choice.finite = choice.finite && std::isfinite(logit);
  if (!choice.finite) return choice;

  const std::vector<float> model = logits;
  const float model_greatest = *std::max_element(model.begin(), model.end());
  const double log_of_sum = log_of_weights(total(weights_of(model, 1)));

  std::vector<std::uint32_t> tokens;  // that may be drawn
  for (const LogitEdit& edit : rules.edits) {
    float& l = logits[edit.token];
    l = (l > 0 ? l / edit.penalty : l * edit.penalty) + edit.add;
    if (l > largest) l = largest;
    if (l < -largest) l = -largest;
  }
  for (std::uint32_t t = 0; t < logits.size(); ++t) {
    if (rules.allowed.empty() || (rules.allowed[t / 64] >> (t % 64) & 1) != 0) tokens.push_back(t);
  }
  std::vector<float> left;
  for (const std::uint32_t t : tokens) left.push_back(logits[t]);
  if (rules.temperature == 0) {
    choice.token = tokens[ordered(left)[0]];
  } else {
    const double inverse = std::min(1 / static_cast<double>(rules.temperature), static_cast<double>(largest));
    const std::vector<std::uint64_t> weights = weights_of(left, static_cast<float>(inverse));
    std::vector<std::uint32_t> kept;
    for (const std::uint32_t i : ordered(weights)) {
      if (static_cast<double>(weights[i]) >= static_cast<double>(rules.min_p) * 0x1p30) kept.push_back(i);
    }
    std::uint64_t sum = total(weights);
    if (rules.top_k != 0) {
      if (kept.size() > rules.top_k) kept.resize(rules.top_k);
      sum = 0;
      for (const std::uint32_t i : kept) sum += weights[i];
    }
    const auto p = static_cast<Wide>(std::llround(static_cast<double>(rules.top_p) * 0x1p32));
    const auto enough = static_cast<std::uint64_t>((p * sum + 0xffffffffU) >> 32);
    std::uint64_t mass = weights[kept[0]];
    std::size_t count = 1;
    while (count < kept.size() && mass < enough) mass += weights[kept[count++]];
    kept.resize(count);
    std::sort(kept.begin(), kept.end());
    const auto at = static_cast<std::uint64_t>(static_cast<Wide>(rules.random) * mass >> 64);
    std::uint64_t running = 0;
    std::size_t i = 0;
    while ((running += weights[kept[i]]) <= at) ++i;
    choice.token = tokens[kept[i]];
  }
  if (rules.alternatives) {
    choice.log_probability = log_probability(model[choice.token], model_greatest, log_of_sum);
    const auto order = ordered(model);
    for (std::size_t i = 0; i < std::min<std::size_t>(*rules.alternatives, model.size()); ++i) {
      choice.alternatives.push_back({order[i], log_probability(model[order[i]], model_greatest, log_of_sum)});
    }
  }
  return choice;
}

// On so many threads, with every instruction set that there is.
class CandidatesByThreads : public testing::TestWithParam<int> {
 protected:
  CandidatesByThreads() {
    for (const Isa isa : {Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Amx}) {
      if (supported(isa)) devices_.push_back(make_cpu_device(GetParam(), isa));
    }
  }

  void expect_reference(std::span<Case> cases) {
    std::vector<Choice> expected;
    for (const Case& c : cases) expected.push_back(reference(c));
    for (const auto& device : devices_) {
      const std::vector<Choice> choices = choices_of(*device, cases);
      for (std::size_t i = 0; i < cases.size(); ++i) {
        SCOPED_TRACE(device->name() + ", row " + std::to_string(i) + " of " + std::to_string(cases[i].logits.size()) +
                     " tokens");
        expect_same(expected[i], choices[i]);
      }
    }
  }

 private:
  std::vector<std::unique_ptr<Device>> devices_;
};

TEST_P(CandidatesByThreads, AreTheDefinitions) {
  Random random(20);
  for (const std::size_t size : {1, 2, 15, 16, 17, 63, 64, 65, 500, 512, 513, 1027, 4096, 20011}) {
    for (const std::size_t rows : {1, 3, 8}) {
      for (int repeat = size < 2000 ? 6 : 2; repeat > 0; --repeat) {
        std::vector<Case> cases;
        for (std::size_t i = 0; i < rows; ++i) cases.push_back(random_case(size, random));
        ASSERT_NO_FATAL_FAILURE(expect_reference(cases));
      }
    }
  }
}

TEST_P(CandidatesByThreads, WholeVocabulary) {
  Random random(21);
  for (int shape = 0; shape < static_cast<int>(Shape::count); ++shape) {
    std::vector<Case> cases;
    for (const SamplingRules& rules :
         {SamplingRules{.temperature = 0.6F, .top_p = 0.95F}, SamplingRules{.top_k = 40, .top_p = 0.9F},
          SamplingRules{.top_k = 3000}, SamplingRules{.temperature = 2, .alternatives = 20}}) {
      cases.push_back({.logits = logits_of(static_cast<Shape>(shape), 128256, random), .rules = rules});
      cases.back().rules.random = std::uint64_t{random()} << 32 | random();
    }
    ASSERT_NO_FATAL_FAILURE(expect_reference(cases));
  }
}

TEST_P(CandidatesByThreads, RefuseRowsThatAreNotFinite) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Random random(22);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
    for (const std::size_t at : {0, 5, 700, 1000}) {
      std::vector<Case> cases;
      for (int i = 0; i < 4; ++i) cases.push_back({.logits = logits_of(Shape::Flat, 1001, random)});
      for (const std::size_t row : {0, 2}) cases[row].logits[at] = bad;
      cases[2].allowed.assign(16, 1);  // whether it may be drawn or not
      cases[2].edits = {{static_cast<std::uint32_t>(at), 1, -1000}};
      ASSERT_NO_FATAL_FAILURE(expect_reference(cases));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, CandidatesByThreads, testing::Values(1, 2, 5));

TEST(Candidates, RandomNumbersAreSplitMix64) {
  const std::uint64_t published[] = {6457827717110365317U, 3203168211198807973U, 9817491932198370423U,
                                     4593380528125082431U, 16408922859458223821U};
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_EQ(random_at(1234567, i), published[i]);
  EXPECT_EQ(random_at(0, 0), 0xe220a8397b1dcdafU);
}

TEST(Candidates, WideProductsAreExact) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t sum = random() >> (10 + random() % 50);
    const std::uint64_t x = i % 10 == 0 ? ~std::uint64_t{0} : random();
    const std::uint64_t share = i % 10 == 1 ? std::uint64_t{1} << 32 : random() >> 32;
    ASSERT_EQ(scaled(x, sum), static_cast<std::uint64_t>(static_cast<Wide>(x) * sum >> 64));
    ASSERT_EQ(share_of(share, sum), static_cast<std::uint64_t>((static_cast<Wide>(share) * sum + 0xffffffffU) >> 32));
  }
}

TEST(Candidates, LogarithmIsThatOfTheLibrary) {
  std::mt19937_64 random(2);
  EXPECT_EQ(log_of_weights(std::uint64_t{1} << 30), 0);
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t sum = (std::uint64_t{1} << 30) + (random() >> (11 + random() % 34));
    const double exact = std::log(static_cast<double>(sum) / 0x1p30);
    ASSERT_NEAR(log_of_weights(sum), exact, 4e-16 + exact * 4e-16) << sum;
  }
}

TEST(Candidates, FrequenciesFollowTheDistribution) {
  const base::FlushDenormals flush;
  Random random(23);
  const auto device = make_cpu_device(1);
  const std::vector<float> logits = logits_of(Shape::Flat, 40, random);
  const Buffer buffer = to_device(*device, logits, 1);
  const std::vector<std::uint64_t> weights = weights_of(logits, 1);
  const auto sum = static_cast<double>(total(weights));
  constexpr int draws = 20000;
  for (const std::uint64_t seed : {1, 2}) {  // neighbouring seeds and positions
    std::vector<double> counts(logits.size());
    for (std::uint64_t position = 0; position < draws; ++position) {
      const SamplingRules rules{.random = random_at(seed, position)};
      Choice choice;
      device->candidates(buffer.view(), {&rules, 1}, {&choice, 1});
      ++counts[choice.token];
    }
    double chi_squared = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double mean = static_cast<double>(weights[i]) / sum * draws;
      chi_squared += (counts[i] - mean) * (counts[i] - mean) / mean;
    }
    // 39 degrees of freedom: 12 and 81 are beyond the 0.005 % at either end.
    EXPECT_LT(chi_squared, 81);
    EXPECT_GT(chi_squared, 12);
  }
}

TEST(Candidates, RefuseWhatDoesNotFit) {
  Random random(24);
  const auto device = make_cpu_device(2);
  const Buffer buffer = to_device(*device, logits_of(Shape::Flat, 200, random), 2);  // two rows of 100
  const auto refused = [&](const SamplingRules& rules) {
    const std::array<SamplingRules, 2> both = {SamplingRules{}, rules};
    std::array<Choice, 2> choices;
    try {
      device->candidates(buffer.view(), both, choices);
    } catch (const base::Error& error) {
      return error.kind() == base::ErrorKind::Internal;
    }
    return false;
  };
  EXPECT_FALSE(refused({}));
  const std::uint64_t none[2] = {0, std::uint64_t{1} << 36};  // token 100 does not exist
  const std::uint64_t last[2] = {0, std::uint64_t{1} << 35};
  EXPECT_TRUE(refused({.allowed = none}));
  EXPECT_FALSE(refused({.allowed = last}));
  EXPECT_TRUE(refused({.allowed = std::span(last).first(1)}));
  EXPECT_TRUE(refused({.temperature = -1}));
  EXPECT_TRUE(refused({.temperature = std::numeric_limits<float>::quiet_NaN()}));
  EXPECT_TRUE(refused({.top_p = 1.5F}));
  EXPECT_TRUE(refused({.min_p = -0.5F}));
  EXPECT_TRUE(refused({.alternatives = 21}));
  const LogitEdit unknown{.token = 100};
  EXPECT_TRUE(refused({.edits = {&unknown, 1}}));
  const LogitEdit zero{.penalty = 0};
  EXPECT_TRUE(refused({.edits = {&zero, 1}}));
  const SamplingRules one;
  Choice choice;
  EXPECT_THROW(device->candidates(buffer.view(), {&one, 1}, {&choice, 1}), base::Error);
}

}  // namespace
}  // namespace compute::cpu::test
