// The tokens of a conversation up to now, and of each one bit: whether it was given (prompt) or generated. That bit
// says in which precision its keys and values were computed, so they can be computed again, to the bit, after they were
// given up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "smollm3/tokenizer.h"

namespace engine {

using smollm3::Token;

class Transcript {
 public:
  void append(std::span<const Token> tokens, bool generated);
  void append(Token token, bool generated) { append({&token, 1}, generated); }
  void truncate(std::size_t size);
  // Takes over the bits of the first `count` tokens of another one, which both have.
  void take_provenance(const Transcript& other, std::size_t count);

  std::size_t size() const { return tokens_.size(); }
  std::span<const Token> tokens() const { return tokens_; }
  bool generated(std::size_t i) const { return (generated_[i / 64] >> (i % 64) & 1) != 0; }

  // The bits of 64 tokens from 64 · page on, 0 for those that are not there.
  std::uint64_t generated_in_page(std::size_t page) const { return generated_[page]; }

  // How many tokens from `begin` on, up to `most`, have the bit that the one at `begin` has, which must exist.
  std::size_t run_length(std::size_t begin, std::size_t most) const;
  // How many tokens both begin with; with `provenance` their bits must be equal too.
  std::size_t common_prefix(const Transcript& other, bool provenance) const;

 private:
  std::vector<Token> tokens_;
  std::vector<std::uint64_t> generated_;  // a word for each page of 64 positions
};

}  // namespace engine
