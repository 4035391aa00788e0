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

void Transcript::append(std::span<const Token> tokens, std::span<const std::uint64_t> generated) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    append(tokens[i], i / 64 < generated.size() && (generated[i / 64] >> (i % 64) & 1) != 0);
  }
}

void Transcript::append(const Transcript& other, std::size_t begin, std::size_t end) {
  while (begin < end) {
    const std::size_t run = other.run_length(begin, end - begin);
    append(other.tokens().subspan(begin, run), other.generated(begin));
    begin += run;
  }
}

void Transcript::truncate(std::size_t size) {
  if (size >= tokens_.size()) return;
  tokens_.resize(size);
  generated_.resize((size + 63) / 64);
  // Bits of tokens that are no more must be 0: the next one of that place only ever sets its bit.
  if (size % 64 != 0) generated_.back() &= (std::uint64_t{1} << (size % 64)) - 1;
}

std::size_t Transcript::run_length(std::size_t begin, std::size_t most) const {
  const std::size_t last = begin + std::min(most, size() - begin);
  std::size_t end = begin + 1;
  while (end < last && generated(end) == generated(begin)) ++end;
  return end - begin;
}

}  // namespace engine
