#include "engine/transcript.h"

#include <algorithm>

namespace engine {

void Transcript::append(std::span<const Token> tokens, bool generated) {
  for (const Token token : tokens) {
    const std::size_t i = tokens_.size();
    if (i % 64 == 0) generated_.push_back(0);
    if (generated) generated_.back() |= std::uint64_t{1} << (i % 64);
    tokens_.push_back(token);
  }
}

void Transcript::truncate(std::size_t size) {
  if (size >= tokens_.size()) return;
  tokens_.resize(size);
  generated_.resize((size + 63) / 64);
  // Bits of tokens that are no more must be 0: the next one of that place only ever sets its bit.
  if (size % 64 != 0) generated_.back() &= (std::uint64_t{1} << (size % 64)) - 1;
}

void Transcript::take_provenance(const Transcript& other, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t bit = std::uint64_t{1} << (i % 64);
    generated_[i / 64] = other.generated(i) ? generated_[i / 64] | bit : generated_[i / 64] & ~bit;
  }
}

std::size_t Transcript::run_length(std::size_t begin, std::size_t most) const {
  const std::size_t last = begin + std::min(most, size() - begin);
  std::size_t end = begin + 1;
  while (end < last && generated(end) == generated(begin)) ++end;
  return end - begin;
}

std::size_t Transcript::common_prefix(const Transcript& other, bool provenance) const {
  const auto differ = std::mismatch(tokens_.begin(), tokens_.end(), other.tokens_.begin(), other.tokens_.end());
  const auto same = static_cast<std::size_t>(differ.first - tokens_.begin());
  if (!provenance) return same;
  for (std::size_t i = 0; i < same; ++i) {
    if (generated(i) != other.generated(i)) return i;
  }
  return same;
}

}  // namespace engine
