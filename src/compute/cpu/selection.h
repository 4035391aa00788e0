// Which tokens the rules of sampling leave. Every rule keeps the first tokens of one and the same order, greatest
// weight first, of equal ones the lower token first; so what all of them leave is the first so many of that order. They
// are found without sorting, by a histogram of the weights (compute/sampling.h), and one more of the tokens in the
// bucket where the cut lies.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "compute/sampling.h"

namespace compute::cpu {

// The first tokens of the order: those with weights above `least`, and the first `ties` of those with this weight.
struct Prefix {
  float least = 0;
  std::uint64_t ties = 0;
  std::uint64_t sum = 0;  // of their weights
};

class Selection {
 public:
  static constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

  // Weights: integers from 1 to 2^30, in the order of their tokens.
  void assign(std::span<const float> weights);

  // The shortest prefix of `count` tokens, or whose sum is at least `sum`, whichever is shorter; else all.
  Prefix cut(std::uint64_t count, std::uint64_t sum);

 private:
  Prefix cut_bucket(std::uint32_t bucket, std::uint64_t count, std::uint64_t sum, std::uint64_t sum_above);

  std::span<const float> weights_;
  std::array<std::uint64_t, weight_buckets> buckets_{};
  std::array<std::uint64_t, weight_buckets> second_{};  // while buckets_ is being filled
  std::vector<std::uint32_t> members_;                  // of one bucket, as bits
};

}  // namespace compute::cpu
