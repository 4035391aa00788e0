#include "smollm3/tokenizer_merges.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

namespace smollm3 {
namespace {

// Up to this many bytes a scan for the lowest rank is faster than a queue.
constexpr std::size_t kScanLimit = 32;
// Long words are taken in blocks of this many bytes, so that their queue stays in the first-level cache.
constexpr std::size_t kBlock = 1024;
// Tokens before a seam that are merged anew at first.
constexpr std::size_t kSeamTokens = 4;

std::uint64_t pair_key(Token left, Token right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

std::uint8_t byte_at(std::string_view word, std::size_t i) { return static_cast<std::uint8_t>(word[i]); }

}  // namespace

Merges::Merges(std::size_t count, std::vector<std::uint32_t> lengths, const std::array<Token, 256>& byte_tokens)
    : byte_tokens_(byte_tokens), byte_pairs_(256 * 256, Merge{kNone, -1}), lengths_(std::move(lengths)) {
  slots_.resize(std::bit_ceil(std::max<std::size_t>(count * 3 / 2, 16)));
  shift_ = 64 - std::countr_zero(slots_.size());
}

bool Merges::add(Token left, Token right, Merge merge) {
  const std::uint64_t pair = pair_key(left, right);
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = home(pair);
  for (; slots_[at].merge.rank != kNone; at = (at + 1) & mask) {
    if (slots_[at].pair == pair) return false;
  }
  slots_[at] = {pair, merge};
  return true;
}

void Merges::finish() {
  for (std::size_t left = 0; left < 256; ++left) {
    for (std::size_t right = 0; right < 256; ++right) {
      byte_pairs_[left << 8 | right] = find(byte_tokens_[left], byte_tokens_[right]);
    }
  }
}

Merges::Merge Merges::find(Token left, Token right) const {
  const std::uint64_t pair = pair_key(left, right);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = home(pair); slots_[at].merge.rank != kNone; at = (at + 1) & mask) {
    if (slots_[at].pair == pair) return slots_[at].merge;
  }
  return {kNone, -1};
}

void Merges::apply(std::string_view word, Scratch& scratch, std::vector<Token>& out) const {
  if (word.size() <= 2 * kBlock) return merge_block(word, scratch, out);
  const std::size_t first = out.size();
  for (std::size_t begin = 0; begin < word.size(); begin += kBlock) {
    append_block(word, begin, std::min(begin + kBlock, word.size()), scratch, first, out);
  }
}

// out[first …) is the result for word[0, begin); afterwards for word[0, end).
void Merges::append_block(std::string_view word, std::size_t begin, std::size_t end, Scratch& scratch,
                          std::size_t first, std::vector<Token>& out) const {
  std::size_t kept = out.size();
  for (std::size_t anew = kSeamTokens;; anew *= 2) {
    for (const std::size_t target = out.size() - std::min(anew, out.size() - first); kept > target;) {
      begin -= length(out[--kept]);
    }
    scratch.seam.clear();
    merge_block(word.substr(begin, end - begin), scratch, scratch.seam);
    if (kept == first) break;

    const Token left = out[kept - 1];
    const Token right = scratch.seam.front();
    scratch.pair.clear();
    merge_block(word.substr(begin - length(left), length(left) + length(right)), scratch, scratch.pair);
    if (scratch.pair.size() == 2 && scratch.pair[0] == left) break;
  }
  out.resize(kept);
  out.insert(out.end(), scratch.seam.begin(), scratch.seam.end());
}

void Merges::merge_block(std::string_view word, Scratch& scratch, std::vector<Token>& out) const {
  if (word.size() <= kScanLimit) {
    merge_by_scanning(word, out);
  } else {
    merge_by_queue(word, scratch, out);
  }
}

void Merges::merge_by_scanning(std::string_view word, std::vector<Token>& out) const {
  std::array<Token, kScanLimit> tokens;
  std::array<Merge, kScanLimit> pairs;  // [i]: of tokens[i] and tokens[i + 1]
  std::size_t count = word.size();
  if (count == 0) return;
  tokens[0] = byte_tokens_[byte_at(word, 0)];
  for (std::size_t i = 1; i < count; ++i) {
    tokens[i] = byte_tokens_[byte_at(word, i)];
    pairs[i - 1] = byte_pairs_[std::size_t{byte_at(word, i - 1)} << 8 | byte_at(word, i)];
  }
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNone) break;
    tokens[best] = pairs[best].result;
    --count;
    for (std::size_t i = best + 1; i < count; ++i) tokens[i] = tokens[i + 1];
    for (std::size_t i = best; i + 1 < count; ++i) pairs[i] = pairs[i + 1];
    if (best > 0) pairs[best - 1] = find(tokens[best - 1], tokens[best]);
    if (best + 1 < count) pairs[best] = find(tokens[best], tokens[best + 1]);
  }
  out.insert(out.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count));
}

void Merges::merge_by_queue(std::string_view word, Scratch& scratch, std::vector<Token>& out) const {
  auto& symbols = scratch.symbols;
  auto& queue = scratch.queue;
  queue.clear();
  symbols.resize(word.size());

  const auto size = static_cast<std::int32_t>(word.size());
  const auto symbol = [&](std::int32_t i) -> Scratch::Symbol& { return symbols[static_cast<std::size_t>(i)]; };
  const auto entry = [](std::uint32_t rank, std::int32_t i) {
    return std::uint64_t{rank} << 32 | static_cast<std::uint32_t>(i);
  };
  for (std::int32_t i = 0; i < size; ++i) {
    const auto at = static_cast<std::size_t>(i);
    Merge pair{kNone, -1};
    if (i + 1 < size) pair = byte_pairs_[std::size_t{byte_at(word, at)} << 8 | byte_at(word, at + 1)];
    symbol(i) = {byte_tokens_[byte_at(word, at)], pair.rank, pair.result, i - 1, i + 1 < size ? i + 1 : -1};
    if (pair.rank != kNone) queue.push_back(entry(pair.rank, i));
  }
  std::make_heap(queue.begin(), queue.end(), std::greater<>{});

  const auto update_pair = [&](std::int32_t i) {
    Scratch::Symbol& left = symbol(i);
    const Merge pair = left.next < 0 ? Merge{kNone, -1} : find(left.token, symbol(left.next).token);
    left.rank = pair.rank;
    left.result = pair.result;
    if (pair.rank == kNone) return;
    queue.push_back(entry(pair.rank, i));
    std::push_heap(queue.begin(), queue.end(), std::greater<>{});
  };
  while (!queue.empty()) {
    const auto i = static_cast<std::int32_t>(queue.front() & UINT32_MAX);
    const auto rank = static_cast<std::uint32_t>(queue.front() >> 32);
    std::pop_heap(queue.begin(), queue.end(), std::greater<>{});
    queue.pop_back();
    Scratch::Symbol& left = symbol(i);
    if (left.rank != rank) continue;  // the pair has changed since

    Scratch::Symbol& right = symbol(left.next);
    left.token = left.result;
    left.next = right.next;
    right.rank = kNone;
    if (left.next >= 0) symbol(left.next).previous = i;
    update_pair(i);
    if (left.previous >= 0) update_pair(left.previous);
  }
  for (std::int32_t i = 0; i >= 0; i = symbol(i).next) out.push_back(symbol(i).token);
}

}  // namespace smollm3
