// Byte-level BPE on one word: the pair of neighbours with the lowest rank becomes one token, the leftmost first among
// equals, until no pair has a rank. The order decides the result, so every way of computing it must keep to it.
//
// Cost: linear in the word's length. A long word is taken in blocks, by this lemma: a sequence of tokens is the result
// for its bytes exactly if each two neighbours are the result for theirs. (Take the first merge that crosses a boundary
// of the sequence; until then the two tokens at that boundary went through the same steps as they do on their own, so
// on their own they would merge too.) Blocks are appended one after another; only the last tokens before the seam are
// merged anew, further back until the lemma holds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "smollm3/tokenizer.h"

namespace smollm3 {

class Merges {
 public:
  // Of tokens and of merges; so that a pair and its rank fit into eight bytes.
  static constexpr std::size_t kMostTokens = std::size_t{1} << 20;
  static constexpr std::size_t kMostMerges = std::size_t{1} << 21;

  // Memory that apply() uses; one per thread, to be reused.
  class Scratch {
    friend class Merges;
    std::vector<Token> tokens;  // [byte position]: of the symbol that starts there
    std::vector<std::uint32_t> next;
    std::vector<std::uint32_t> previous;
    std::vector<std::int32_t> keys;
    std::vector<std::uint64_t> lowest;
    std::vector<Token> seam;
    std::vector<Token> pair;
  };

  // For at most `count` merges. lengths[token] is how many bytes a token stands for, byte_tokens are those of one byte.
  Merges(std::size_t count, std::vector<std::uint32_t> lengths, const std::array<Token, 256>& byte_tokens);

  // The next merge in order of rank; finish() follows the last. Not added are a pair that has a rank already, and one
  // that could be found only past very many others, as no pairs are but those chosen for it.
  enum class Added { Yes, HasRank, Collides };
  Added add(Token left, Token right, Token result);
  void finish();
  // A hint that add(left, right, …) follows soon.
  void prefetch(Token left, Token right) const { __builtin_prefetch(&slots_[home(pair_key(left, right))], 1); }

  // Appends the word's tokens to `out`.
  void apply(std::string_view word, Scratch& scratch, std::vector<Token>& out) const;

 private:
  class Block;

  static std::uint64_t pair_key(Token left, Token right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 20 | static_cast<std::uint32_t>(right);
  }
  std::size_t home(std::uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15u) >> shift_; }

  std::uint32_t rank(Token left, Token right) const;                    // kNoRank if they do not merge
  std::uint32_t byte_rank(std::string_view word, std::size_t i) const;  // of bytes i and i + 1
  Token byte_token(char byte) const { return byte_tokens_[static_cast<unsigned char>(byte)]; }
  std::size_t length(Token token) const { return lengths_[static_cast<std::size_t>(token)]; }

  void merge_bytes(std::string_view word, Scratch& scratch, std::vector<Token>& out) const;
  void append_block(std::string_view word, std::size_t begin, std::size_t end, Scratch& scratch, std::size_t first,
                    std::vector<Token>& out) const;

  std::vector<std::uint64_t> slots_;  // open addressing: left << 44 | right << 24 | rank, or kFree
  int shift_;                         // 64 - log2(slots)
  std::vector<Token> results_;        // by rank
  std::array<Token, 256> byte_tokens_;
  std::vector<std::uint32_t> byte_ranks_;  // [left byte << 8 | right byte]: most look-ups are of these
  std::vector<std::uint32_t> lengths_;     // bytes of each token
  // Whether any merge has the token on that side: most pairs are turned away by these without missing the cache.
  std::vector<bool> is_left_;
  std::vector<bool> is_right_;
};

}  // namespace smollm3
