#include "compute/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"

namespace compute {
namespace {

void require(bool holds, const std::string& why) {
  if (!holds) throw base::Error(base::ErrorKind::Internal, "candidates", why);
}

bool any_allowed(std::span<const std::uint64_t> allowed, std::size_t tokens) {
  const auto whole = allowed.first(tokens / 64);
  if (std::any_of(whole.begin(), whole.end(), [](std::uint64_t word) { return word != 0; })) return true;
  return tokens % 64 != 0 && allowed[tokens / 64] << (64 - tokens % 64) != 0;
}

}  // namespace

IntegerRules integer_rules(const SamplingRules& rules) {
  constexpr double one = std::uint32_t{1} << weight_bits;
  // Subnormal temperatures are flushed in some places and not in others: they count as 0 in all.
  const bool greedy = rules.temperature < std::numeric_limits<float>::min();
  const double inverse = greedy ? 1 : 1 / static_cast<double>(rules.temperature);
  return {
      .greedy = greedy,
      .inverse = static_cast<float>(std::min<double>(inverse, std::numeric_limits<float>::max())),
      .least = static_cast<std::uint32_t>(std::ceil(static_cast<double>(rules.min_p) * one)),
      .top_k = rules.top_k,
      .share = static_cast<std::uint64_t>(std::llround(static_cast<double>(rules.top_p) * 0x1p32)),
  };
}

float edited(float logit, const LogitEdit& edit) {
  constexpr float most = std::numeric_limits<float>::max();
  const float penalised = logit > 0 ? logit / edit.penalty : logit * edit.penalty;
  return std::clamp(penalised + edit.add, -most, most);
}

double log_of_weights(std::uint64_t sum) {
  // sum = 2^n · f with f from 1/√2 to √2, and ln f = 2 artanh((f - 1) / (f + 1)), a series in s².
  int n = static_cast<int>(std::bit_width(sum)) - 1;
  double f = std::ldexp(static_cast<double>(sum), -n);
  if (f > 0x1.6a09e667f3bcdp+0) {
    f /= 2;
    ++n;
  }
  const double s = (f - 1) / (f + 1);
  const double square = s * s;
  double series = 0;
  for (int k = 23; k >= 3; k -= 2) series = (series + 1.0 / k) * square;
  return static_cast<double>(n - static_cast<int>(weight_bits)) * 0x1.62e42fefa39efp-1 + 2 * (s + s * series);
}

double log_probability(float logit, float greatest, double log_of_sum) {
  return static_cast<double>(logit) - static_cast<double>(greatest) - log_of_sum + 0.0;  // never -0
}

void check_candidates(const View& logits, std::span<const SamplingRules> rules, std::span<const Choice> choices) {
  require(logits.rows == rules.size() && rules.size() == choices.size(), "numbers of rows differ");
  require(logits.cols > 0 && logits.cols <= most_candidates, "there are no tokens, or too many");
  for (const SamplingRules& rule : rules) {
    // Written so that NaN fails too.
    require(rule.temperature >= 0 && rule.top_p >= 0 && rule.top_p <= 1 && rule.min_p >= 0 && rule.min_p <= 1,
            "a rule is out of range");
    require(rule.alternatives.value_or(0) <= most_alternatives, "too many alternatives");
    require(rule.allowed.empty() || rule.allowed.size() == (logits.cols + 63) / 64, "a mask has another size");
    require(rule.allowed.empty() || any_allowed(rule.allowed, logits.cols), "no token is allowed");
    for (const LogitEdit& edit : rule.edits) {
      require(edit.token < logits.cols && edit.penalty > 0 && std::isfinite(edit.penalty) && std::isfinite(edit.add),
              "an edit is out of range");
    }
  }
}

}  // namespace compute
