#include "smollm3/tokenizer_merges.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace smollm3 {
namespace {

constexpr std::uint64_t kFree = UINT64_MAX;
constexpr std::uint32_t kNoRank = (1u << 24) - 1;
// Of the slots for one pair; at this load even the unluckiest of two million needs a fifth of it.
constexpr std::size_t kMostProbes = 1000;

// Long words are taken in blocks of this many bytes, so that the work stays in the first-level cache.
constexpr std::size_t kBlockBytes = 1024;
// Tokens before a seam that are merged anew at first.
constexpr std::size_t kSeamTokens = 4;

}  // namespace

// A word while it is merged. Symbols and pairs stay at the position of their first byte. The lowest rank is found
// through groups of 32 positions, each of which keeps its own lowest: a merge costs a few scans of 32 numbers.
class Merges::Block {
 public:
  Block(const Merges& merges, std::string_view word, Scratch& scratch)
      : merges_(merges), size_(word.size()), groups_((size_ + kGroup - 1) / kGroup), memory_(scratch) {
    reserve();
    for (std::size_t i = 0; i < size_; ++i) {
      memory_.tokens[i] = merges.byte_token(word[i]);
      memory_.next[i] = static_cast<std::uint32_t>(i + 1);
      memory_.previous[i] = static_cast<std::uint32_t>(i) - 1;
      memory_.keys[i] = key(i + 1 < size_ ? merges.byte_rank(word, i) : kNoRank, i);
    }
    for (std::size_t i = size_; i < groups_ * kGroup; ++i) memory_.keys[i] = key(kNoRank, i);
    for (std::size_t g = 0; g < groups_; ++g) update_group(g);
  }

  void merge() {
    for (;;) {
      const std::uint64_t best =
          *std::min_element(memory_.lowest.begin(), memory_.lowest.begin() + static_cast<std::ptrdiff_t>(groups_));
      const auto rank = static_cast<std::uint32_t>(best >> 32);
      if (rank == kNoRank) return;
      merge_at(best & UINT32_MAX, rank);
    }
  }

  void append_to(std::vector<Token>& out) const {
    for (std::size_t i = 0; i < size_; i = memory_.next[i]) out.push_back(memory_.tokens[i]);
  }

 private:
  static constexpr std::size_t kGroup = 32;

  void reserve() {
    if (memory_.lowest.size() >= groups_) return;
    memory_.lowest.resize(groups_);
    memory_.keys.resize(groups_ * kGroup);
    memory_.tokens.resize(groups_ * kGroup);
    memory_.next.resize(groups_ * kGroup);
    memory_.previous.resize(groups_ * kGroup);
  }

  // Orders the pairs of a group by rank, then by position.
  static std::int32_t key(std::uint32_t rank, std::size_t position) {
    return static_cast<std::int32_t>(rank * kGroup + position % kGroup);
  }

  void update_group(std::size_t group) {
    const std::int32_t* keys = memory_.keys.data() + group * kGroup;
    std::int32_t lowest = keys[0];
    for (std::size_t i = 1; i < kGroup; ++i) lowest = std::min(lowest, keys[i]);
    const auto bits = static_cast<std::uint32_t>(lowest);
    memory_.lowest[group] = std::uint64_t{bits / kGroup} << 32 | (group * kGroup + bits % kGroup);
  }

  void set_rank(std::size_t i) {
    const std::size_t right = memory_.next[i];
    const bool last = right == size_;
    memory_.keys[i] = key(last ? kNoRank : merges_.rank(memory_.tokens[i], memory_.tokens[right]), i);
  }

  void merge_at(std::size_t i, std::uint32_t rank) {
    const std::size_t right = memory_.next[i];
    const std::size_t after = memory_.next[right];
    memory_.tokens[i] = merges_.results_[rank];
    memory_.next[i] = static_cast<std::uint32_t>(after);
    if (after < size_) memory_.previous[after] = static_cast<std::uint32_t>(i);
    memory_.keys[right] = key(kNoRank, right);
    set_rank(i);
    const std::size_t before = i > 0 ? memory_.previous[i] : i;
    if (before != i) set_rank(before);

    update_group(i / kGroup);
    if (right / kGroup != i / kGroup) update_group(right / kGroup);
    if (before / kGroup != i / kGroup) update_group(before / kGroup);
  }

  const Merges& merges_;
  std::size_t size_;
  std::size_t groups_;
  Scratch& memory_;  // keys: of the pair that starts at a position; lowest: rank << 32 | position, of each group
};

Merges::Merges(std::size_t count, std::vector<std::uint32_t> lengths, const std::array<Token, 256>& byte_tokens)
    : slots_(std::bit_ceil(std::max<std::size_t>(count * 3 / 2, 16)), kFree),
      shift_(64 - std::countr_zero(slots_.size())),
      byte_tokens_(byte_tokens),
      byte_ranks_(256 * 256),
      lengths_(std::move(lengths)),
      is_left_(lengths_.size()),
      is_right_(lengths_.size()) {
  results_.reserve(count);
}

Merges::Added Merges::add(Token left, Token right, Token result) {
  const std::uint64_t pair = pair_key(left, right);
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = home(pair);
  for (std::size_t looked = 0; slots_[at] != kFree; at = (at + 1) & mask) {
    if (slots_[at] >> 24 == pair) return Added::HasRank;
    if (++looked > kMostProbes) return Added::Collides;
  }
  slots_[at] = pair << 24 | results_.size();
  results_.push_back(result);
  is_left_[static_cast<std::size_t>(left)] = true;
  is_right_[static_cast<std::size_t>(right)] = true;
  return Added::Yes;
}

void Merges::finish() {
  for (std::size_t left = 0; left < 256; ++left) {
    for (std::size_t right = 0; right < 256; ++right) {
      byte_ranks_[left << 8 | right] = rank(byte_tokens_[left], byte_tokens_[right]);
    }
  }
}

std::uint32_t Merges::rank(Token left, Token right) const {
  if (!is_left_[static_cast<std::size_t>(left)] || !is_right_[static_cast<std::size_t>(right)]) return kNoRank;
  const std::uint64_t pair = pair_key(left, right);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = home(pair); slots_[at] != kFree; at = (at + 1) & mask) {
    if (slots_[at] >> 24 == pair) return static_cast<std::uint32_t>(slots_[at] & kNoRank);
  }
  return kNoRank;
}

std::uint32_t Merges::byte_rank(std::string_view word, std::size_t i) const {
  const auto left = static_cast<unsigned char>(word[i]);
  const auto right = static_cast<unsigned char>(word[i + 1]);
  return byte_ranks_[std::size_t{left} << 8 | right];
}

void Merges::merge_bytes(std::string_view word, Scratch& scratch, std::vector<Token>& out) const {
  Block block(*this, word, scratch);
  block.merge();
  block.append_to(out);
}

void Merges::apply(std::string_view word, Scratch& scratch, std::vector<Token>& out) const {
  if (word.size() <= kBlockBytes) return merge_bytes(word, scratch, out);
  const std::size_t first = out.size();
  for (std::size_t begin = 0; begin < word.size(); begin += kBlockBytes) {
    append_block(word, begin, std::min(begin + kBlockBytes, word.size()), scratch, first, out);
  }
}

// out[first …) is the result for word[0, begin); afterwards for word[0, end).
void Merges::append_block(std::string_view word, std::size_t begin, std::size_t end, Scratch& scratch,
                          std::size_t first, std::vector<Token>& out) const {
  std::size_t kept = out.size();
  for (std::size_t anew = kSeamTokens;; anew *= 2) {
    const std::size_t target = out.size() - std::min(anew, out.size() - first);
    while (kept > target) begin -= length(out[--kept]);
    scratch.seam.clear();
    merge_bytes(word.substr(begin, end - begin), scratch, scratch.seam);
    if (kept == first) break;

    const Token left = out[kept - 1];
    const Token right = scratch.seam.front();
    scratch.pair.clear();
    merge_bytes(word.substr(begin - length(left), length(left) + length(right)), scratch, scratch.pair);
    if (scratch.pair.size() == 2 && scratch.pair[0] == left) break;
  }
  out.resize(kept);
  out.insert(out.end(), scratch.seam.begin(), scratch.seam.end());
}

}  // namespace smollm3
