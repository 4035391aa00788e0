#include "compute/cpu/selection.h"

#include <algorithm>
#include <bit>

namespace compute::cpu {
namespace {

struct Bin {
  std::uint64_t count = 0;
  std::uint64_t sum = 0;
};

std::uint64_t weight_of(std::uint32_t bits) {
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(std::bit_cast<float>(bits)));
}

// Takes whole bins, greatest first, off both limits while neither is reached. Returns the bin that reaches one.
std::uint32_t descend(std::span<const Bin> bins, std::uint64_t& count, std::uint64_t& sum, std::uint64_t& sum_above) {
  auto bin = static_cast<std::uint32_t>(bins.size() - 1);
  while (bins[bin].count < count && bins[bin].sum < sum) {
    count -= bins[bin].count;
    sum -= bins[bin].sum;
    sum_above += bins[bin].sum;
    --bin;
  }
  return bin;
}

}  // namespace

void Selection::assign(std::span<const float> weights) {
  weights_ = weights;
  buckets_.fill(0);
  second_.fill(0);
  const auto add = [](auto& buckets, float weight) {
    const auto bits = std::bit_cast<std::uint32_t>(weight);
    buckets[bucket_of(bits)] += bucket_entry(bits);
  };
  // Neighbours often fall into the same bucket, and one addition would wait for the other: two histograms.
  std::size_t i = 0;
  for (; i + 2 <= weights.size(); i += 2) {
    add(buckets_, weights[i]);
    add(second_, weights[i + 1]);
  }
  if (i < weights.size()) add(buckets_, weights[i]);
  for (i = 0; i < weight_buckets; ++i) buckets_[i] += second_[i];
}

Prefix Selection::cut(std::uint64_t count, std::uint64_t sum) {
  std::uint64_t sum_above = 0;
  for (std::size_t i = weight_buckets; i-- > 0;) {
    if (buckets_[i] == 0) continue;
    const auto bucket = static_cast<std::uint32_t>(i);
    const Bin bin{bucket_count(buckets_[i]), bucket_sum(bucket, buckets_[i])};
    if (bin.count >= count || bin.sum >= sum) return cut_bucket(bucket, count, sum, sum_above);
    count -= bin.count;
    sum -= bin.sum;
    sum_above += bin.sum;
  }
  return {.least = 0, .ties = 0, .sum = sum_above};
}

// What is left of both limits is reached within this bucket: its weights are told apart by one byte, then by the last.
Prefix Selection::cut_bucket(std::uint32_t bucket, std::uint64_t count, std::uint64_t sum, std::uint64_t sum_above) {
  if (members_.size() < weights_.size()) members_.resize(weights_.size());
  std::size_t members = 0;
  for (const float weight : weights_) {  // without a branch: which ones are members cannot be foreseen
    members_[members] = std::bit_cast<std::uint32_t>(weight);
    members += bucket_of(members_[members]) == bucket ? 1 : 0;
  }
  std::uint32_t prefix = bits_of_bucket(bucket);
  std::uint32_t known = 0xffff0000U;
  for (const unsigned shift : {8U, 0U}) {
    std::array<Bin, 256> bins{};
    for (const std::uint32_t bits : std::span(members_).first(members)) {
      if ((bits & known) != prefix) continue;
      Bin& bin = bins[bits >> shift & 255];
      ++bin.count;
      bin.sum += weight_of(bits);
    }
    prefix |= descend(bins, count, sum, sum_above) << shift;
    known |= 255U << shift;
  }
  const std::uint64_t weight = weight_of(prefix);
  const std::uint64_t ties = std::min(count, sum / weight + (sum % weight != 0 ? 1 : 0));
  return {.least = std::bit_cast<float>(prefix), .ties = ties, .sum = sum_above + ties * weight};
}

}  // namespace compute::cpu
