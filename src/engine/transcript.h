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

// Keeps apart what different accounts wrote: keys and values are found again by the account that they were computed for
// alone, but those of the first `shared` tokens, as the server's own system prompt, by everybody. (Else the time of a
// first token, or the number of cached tokens, would tell one account what another has written.)
struct Salt {
  std::uint64_t account = 0;
  std::size_t shared = 0;

  std::uint64_t of_page(std::size_t page) const { return (page + 1) * 64 <= shared ? 0 : account; }
};

class Transcript {
 public:
  explicit Transcript(Salt salt = {}) : salt_(salt) {}

  void append(std::span<const Token> tokens, bool generated);
  // With a bit for each token, 64 to a word; those that are missing are 0.
  void append(std::span<const Token> tokens, std::span<const std::uint64_t> generated);
  void append(Token token, bool generated) { append({&token, 1}, generated); }
  void append(const Transcript& other, std::size_t begin, std::size_t end);  // its tokens, and how they came
  void truncate(std::size_t size);

  const Salt& salt() const { return salt_; }
  std::size_t size() const { return tokens_.size(); }
  std::span<const Token> tokens() const { return tokens_; }
  bool generated(std::size_t i) const { return (generated_[i / 64] >> (i % 64) & 1) != 0; }

  // The bits of all tokens, 64 to a word; and of the 64 tokens from 64 · page on, 0 for those that are not there.
  std::span<const std::uint64_t> generated() const { return generated_; }
  std::uint64_t generated_in_page(std::size_t page) const { return generated_[page]; }

  // How many tokens from `begin` on, up to `most`, have the bit that the one at `begin` has, which must exist.
  std::size_t run_length(std::size_t begin, std::size_t most) const;

 private:
  Salt salt_;
  std::vector<Token> tokens_;
  std::vector<std::uint64_t> generated_;  // a word for each page of 64 positions
};

}  // namespace engine
