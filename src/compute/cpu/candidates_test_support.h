// Rows of logits of many shapes and rules of all kinds, for tests of Device::candidates.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "compute/compute.h"
#include "compute/cpu/test_support.h"

namespace compute::cpu::test {

// A row, and what its rules refer to.
struct Case {
  std::vector<float> logits;
  std::vector<LogitEdit> edits = {};
  std::vector<std::uint64_t> allowed = {};
  SamplingRules rules = {};
};

enum class Shape { Peaked, Flat, Equal, Huge, Steps, Rising, Subnormal, count };

inline std::vector<float> logits_of(Shape shape, std::size_t size, Random& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(size);
  for (std::size_t i = 0; i < size; ++i) {
    float& l = x[i];
    switch (shape) {
      case Shape::Peaked:
        l = normal(random) * 2 - 10;
        if (random() % 200 == 0) l += 14;
        break;
      case Shape::Flat:
        l = normal(random) * 0.7F;
        break;
      case Shape::Equal:
        l = -3.25F;
        break;
      case Shape::Huge:
        l = normal(random) * (random() % 3 == 0 ? 1e38F : 1);
        break;
      case Shape::Steps:
        l = static_cast<float>(random() % 7) * 0.5F - 8;
        break;
      case Shape::Rising:
        l = static_cast<float>(i) * 1e-3F;
        break;
      default:
        l = normal(random) * 1e-39F;
    }
  }
  return x;
}

inline Case random_case(std::size_t size, Random& random) {
  const auto pick = [&](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[random() % sizeof...(values)];
  };
  const auto k = static_cast<std::uint32_t>(random() % (size + 3));
  Case c{logits_of(static_cast<Shape>(random() % static_cast<unsigned>(Shape::count)), size, random)};
  c.rules = {.temperature = pick(0.0F, 1.0F, 1.0F, 0.6F, 1.7F, 100.0F, 1e-3F, 1e-38F),
             .top_k = pick(0U, 0U, 0U, 1U, 2U, 40U, 1000U, k),
             .top_p = pick(1.0F, 1.0F, 0.0F, 1e-12F, 0.95F, 0.95F, 0.5F, 0.99999F),
             .min_p = pick(0.0F, 0.0F, 0.0F, 0.05F, 1.0F, 1e-9F),
             .random = std::uint64_t{random()} << 32 | random()};
  if (random() % 16 == 0) c.rules.random = pick(0U, 1U) - std::uint64_t{1};  // the ends of the range
  if (random() % 3 == 0) c.rules.alternatives = pick(0U, 1U, 5U, 20U);
  std::set<std::uint32_t> tokens;
  for (unsigned i = pick(0U, 0U, 1U, 30U); i > 0; --i) tokens.insert(static_cast<std::uint32_t>(random() % size));
  for (const std::uint32_t token : tokens) {
    c.edits.push_back({token, pick(1.0F, 1.3F, 0.01F, 10.0F), pick(0.0F, -0.5F, 1000.0F, -1000.0F)});
  }
  if (random() % 3 == 0) {
    c.allowed.resize((size + 63) / 64);
    if (random() % 2 == 0) {
      for (auto& word : c.allowed) word = std::uint64_t{random()} << 32 | random();
    }
    for (int i = 0; i < 3; ++i) {
      const std::size_t token = random() % size;
      c.allowed[token / 64] |= std::uint64_t{1} << (token % 64);
    }
  }
  return c;
}

// What a device draws for all cases, as the rows of one call. Rows are further apart than they are long.
inline std::vector<Choice> choices_of(Device& device, std::span<Case> cases) {
  const std::size_t size = cases[0].logits.size();
  const Buffer buffer = device.allocate(cases.size(), size + 5);
  View view = buffer.view();
  view.cols = size;
  std::vector<float> flat;
  std::vector<SamplingRules> rules;
  for (Case& c : cases) {
    flat.insert(flat.end(), c.logits.begin(), c.logits.end());
    c.rules.edits = c.edits;
    c.rules.allowed = c.allowed;
    rules.push_back(c.rules);
  }
  device.write(flat, view);
  std::vector<Choice> choices(cases.size());
  device.candidates(view, rules, choices);
  EXPECT_TRUE(same_bits(flat, from_device(device, view))) << "the logits were changed";
  return choices;
}

inline void expect_same(const Choice& expected, const Choice& actual) {
  ASSERT_EQ(expected.finite, actual.finite);
  ASSERT_EQ(expected.token, actual.token);
  ASSERT_EQ(std::bit_cast<std::uint64_t>(expected.log_probability),
            std::bit_cast<std::uint64_t>(actual.log_probability));
  ASSERT_EQ(expected.alternatives.size(), actual.alternatives.size());
  for (std::size_t i = 0; i < expected.alternatives.size(); ++i) {
    ASSERT_EQ(expected.alternatives[i].token, actual.alternatives[i].token) << i;
    ASSERT_EQ(std::bit_cast<std::uint64_t>(expected.alternatives[i].value),
              std::bit_cast<std::uint64_t>(actual.alternatives[i].value));
  }
}

}  // namespace compute::cpu::test
