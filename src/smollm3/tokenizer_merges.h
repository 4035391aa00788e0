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
  struct Merge {
    std::uint32_t rank;
    Token result;
  };

  // Memory that apply() uses; one per thread, to be reused.
  class Scratch {
    friend class Merges;
    struct Symbol {
      Token token;
      std::uint32_t rank;  // of the pair that starts here, or kNone
      Token result;        // of that pair
      std::int32_t previous;
      std::int32_t next;  // -1: none
    };
    std::vector<Symbol> symbols;
    std::vector<std::uint64_t> queue;  // rank << 32 | index of the left symbol: a min-heap, with outdated entries
    std::vector<Token> seam;
    std::vector<Token> pair;
  };

  Merges() = default;
  // For at most `count` merges. lengths[token] is how many bytes a token stands for, byte_tokens are those of one byte.
  Merges(std::size_t count, std::vector<std::uint32_t> lengths, const std::array<Token, 256>& byte_tokens);

  // Returns false if the pair has a rank already. finish() follows the last.
  bool add(Token left, Token right, Merge merge);
  void finish();

  // Appends the word's tokens to `out`.
  void apply(std::string_view word, Scratch& scratch, std::vector<Token>& out) const;

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  struct Slot {
    std::uint64_t pair = UINT64_MAX;  // left << 32 | right
    Merge merge{kNone, -1};
  };

  Merge find(Token left, Token right) const;
  std::size_t home(std::uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15u) >> shift_; }

  void merge_block(std::string_view word, Scratch& scratch, std::vector<Token>& out) const;
  void merge_by_scanning(std::string_view word, std::vector<Token>& out) const;
  void merge_by_queue(std::string_view word, Scratch& scratch, std::vector<Token>& out) const;
  void append_block(std::string_view word, std::size_t begin, std::size_t end, Scratch& scratch, std::size_t first,
                    std::vector<Token>& out) const;

  std::size_t length(Token token) const { return lengths_[static_cast<std::size_t>(token)]; }

  std::vector<Slot> slots_;
  int shift_ = 0;  // 64 - log2(slots)
  std::array<Token, 256> byte_tokens_{};
  std::vector<Merge> byte_pairs_;       // [left byte << 8 | right byte]: most look-ups are of these
  std::vector<std::uint32_t> lengths_;  // bytes of each token
};

}  // namespace smollm3
