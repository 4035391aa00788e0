// The arithmetic of sampling that all devices share: rules as integers, and logarithms. docs/numerics.md, "Sampling".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "compute/candidates.h"
#include "compute/compute.h"

namespace compute {

inline constexpr unsigned weight_bits = 30;  // the most likely token weighs 2^30

// What the rules of one row are in numbers that need no rounding any more.
struct IntegerRules {
  bool greedy = false;      // temperature 0
  float inverse = 1;        // of the temperature
  std::uint32_t least = 0;  // weight, by min-p
  std::uint32_t top_k = 0;  // 0: all
  std::uint64_t share = 0;  // top-p in units of 2^-32
};
IntegerRules integer_rules(const SamplingRules& rules);

// A logit after an edit; finite, whatever the edit.
float edited(float logit, const LogitEdit& edit);

// ⌈share · sum / 2^32⌉, for sum < 2^54 and share <= 2^32.
constexpr std::uint64_t share_of(std::uint64_t share, std::uint64_t sum) {
  constexpr std::uint64_t low = 0xffffffffU;
  return share * (sum >> 32) + ((share * (sum & low) + low) >> 32);
}

// ⌊random · sum / 2^64⌋.
constexpr std::uint64_t scaled(std::uint64_t random, std::uint64_t sum) {
  constexpr std::uint64_t low = 0xffffffffU;
  const std::uint64_t middle = (random >> 32) * (sum & low) + (((random & low) * (sum & low)) >> 32);
  const std::uint64_t other = (random & low) * (sum >> 32) + (middle & low);
  return (random >> 32) * (sum >> 32) + (middle >> 32) + (other >> 32);
}

// Selecting by weight begins with a histogram. Weights are integers up to 2^30 of at most 24 significant bits, so they
// are floats without loss, whose bits are ordered as they are. A bucket is a weight's exponent and the 7 bits after its
// first; the 16 bits after those are its rest.
inline constexpr std::uint32_t weight_buckets = weight_bits * 128 + 1;
constexpr std::uint32_t bucket_of(std::uint32_t float_bits) { return (float_bits >> 16) - 0x3f80U; }
constexpr std::uint32_t bits_of_bucket(std::uint32_t bucket) { return (bucket + 0x3f80U) << 16; }

// A bucket's count and the sum of its rests, in one number: what one weight adds to it, and what it says.
constexpr std::uint64_t bucket_entry(std::uint32_t float_bits) {
  return (std::uint64_t{1} << 40) + (float_bits & 0xffffU);
}
constexpr std::uint64_t bucket_count(std::uint64_t entry) { return entry >> 40; }
constexpr std::uint64_t bucket_sum(std::uint32_t bucket, std::uint64_t entry) {
  const std::uint64_t rests = entry & ((std::uint64_t{1} << 40) - 1);
  const std::uint64_t significands = (bucket_count(entry) * (128 + bucket % 128) << 16) + rests;
  const std::uint32_t exponent = bucket / 128;
  return exponent >= 23 ? significands << (exponent - 23) : significands >> (23 - exponent);
}

// ln(sum / 2^30), for a sum of weights of at least 2^30: the same bits on every machine, unlike std::log.
double log_of_weights(std::uint64_t sum);

// Of a token with the given logit, where `greatest` is the row's greatest one.
double log_probability(float logit, float greatest, double log_of_sum);

// Throws a base::Error if the arguments of Device::candidates do not fit together, or a row allows no token.
void check_candidates(const View& logits, std::span<const SamplingRules> rules, std::span<const Choice> choices);

}  // namespace compute
