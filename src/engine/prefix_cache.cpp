#include "engine/prefix_cache.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <vector>

#include "base/error.h"

namespace engine {
namespace {

constexpr std::size_t page_tokens = compute::page_positions;
// Rows behind so many positions cost twice what they cost at the beginning, by measurements of the 3B shape.
constexpr double doubling = 4096;

// Of all tokens up to a page's end, given that of those before (SplitMix64's finaliser for each).
std::uint64_t hash_of(std::uint64_t hash, std::uint64_t salt, std::span<const Token> tokens) {
  hash ^= salt;
  for (const Token token : tokens) {
    hash = (hash ^ static_cast<std::uint32_t>(token)) + 0x9e3779b97f4a7c15;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111eb;
    hash ^= hash >> 31;
  }
  return hash;
}

// The bits of the first `count` tokens.
std::uint64_t first_bits(std::uint64_t bits, std::size_t count) {
  return count == page_tokens ? bits : bits & ((std::uint64_t{1} << count) - 1);
}

}  // namespace

struct PrefixCache::Node {
  Node* parent = nullptr;
  std::uint64_t salt = 0;
  std::vector<Token> tokens = {};  // 64, or fewer: a tail, which nothing follows
  std::uint64_t generated = 0;     // as of Key
  std::byte* page = nullptr;
  std::uint64_t hash = 0;  // of all tokens up to the last of this page
  std::size_t index = 0;   // the page's number in its conversation
  Pages next = {};
  Rank rank = {};

  Key key() const { return {salt, tokens, generated}; }
  bool whole() const { return tokens.size() == page_tokens; }
  // What it cost to compute.
  double cost() const { return 1 + static_cast<double>(index * page_tokens) / doubling; }
};

bool PrefixCache::Before::operator()(const Node* a, const Key& b) const {
  if (a->salt != b.salt) return a->salt < b.salt;
  const Key key = a->key();
  const std::size_t same = common_tokens(key, b);
  if (same == key.tokens.size() || same == b.tokens.size()) return key.tokens.size() < b.tokens.size();
  if (key.tokens[same] != b.tokens[same]) return key.tokens[same] < b.tokens[same];
  return (key.generated >> same & 1) < (b.generated >> same & 1);
}

bool PrefixCache::Before::operator()(const Node* a, const Node* b) const { return (*this)(a, b->key()); }

// How many tokens both begin with, whatever their salts.
std::size_t PrefixCache::common_tokens(const Key& a, const Key& b) {
  const auto differ = std::ranges::mismatch(a.tokens, b.tokens);
  auto same = static_cast<std::size_t>(differ.in1 - a.tokens.begin());
  if (const std::uint64_t differing = a.generated ^ b.generated; differing != 0) {
    same = std::min(same, static_cast<std::size_t>(std::countr_zero(differing)));
  }
  return same;
}

PrefixCache::Key PrefixCache::key_of(const Transcript& transcript, std::size_t page, std::size_t tokens) const {
  return {.salt = transcript.salt().of_page(page),
          .tokens = transcript.tokens().subspan(page * page_tokens, tokens),
          .generated = fast_prompts_ ? first_bits(transcript.generated_in_page(page), tokens) : 0};
}

std::uint64_t PrefixCache::hash_on(std::uint64_t hash, const Transcript& transcript, std::size_t page) {
  return hash_of(hash, transcript.salt().of_page(page), transcript.tokens().subspan(page * page_tokens, page_tokens));
}

PrefixCache::PrefixCache(smollm3::PagePool& pool, bool fast_prompts)
    : pool_(pool), fast_prompts_(fast_prompts), root_(std::make_unique<Node>()) {}

PrefixCache::~PrefixCache() {
  for (const auto& [node, owned] : nodes_) pool_.take_from_cache(node->page);
}

PrefixCache::Node* PrefixCache::find_page(const Node* parent, const Transcript& transcript, std::size_t page) const {
  const Key key = key_of(transcript, page, page_tokens);
  const auto [begin, end] = whole_.equal_range(hash_of(parent->hash, key.salt, key.tokens));
  for (auto it = begin; it != end; ++it) {
    Node* node = it->second;
    if (node->parent != parent || node->salt != key.salt || node->generated != key.generated) continue;
    if (std::ranges::equal(node->tokens, key.tokens)) return node;
  }
  return nullptr;
}

// The page after `parent` that has the most of the key's tokens in common with it; null if none has any. That is the
// first one that does not come before the key, or the one before that.
PrefixCache::Node* PrefixCache::find_part(const Node* parent, const Key& key, std::size_t& common) const {
  Node* best = nullptr;
  common = 0;
  const auto consider = [&](Node* node) {
    const std::size_t same = node->salt == key.salt ? common_tokens(node->key(), key) : 0;
    if (same <= common) return;
    best = node;
    common = same;
  };
  const auto after = parent->next.lower_bound(key);
  if (after != parent->next.end()) consider(*after);
  if (after != parent->next.begin()) consider(*std::prev(after));
  return best;
}

smollm3::Sequence PrefixCache::find(const Transcript& transcript) {
  smollm3::Sequence found(pool_);
  const std::size_t limit = transcript.size() - 1;
  Node* node = root_.get();
  std::size_t page = 0;
  for (; (page + 1) * page_tokens <= limit; ++page) {
    Node* next = find_page(node, transcript, page);
    if (next == nullptr) break;
    found.share_page(next->page);
    use(*next);
    node = next;
  }
  std::size_t common = 0;
  const std::size_t most = std::min(limit - page * page_tokens, page_tokens);
  if (Node* part = find_part(node, key_of(transcript, page, most), common)) {
    use(*part);
    found.share_page(part->page);  // so that it stays while room for the copy is made
    const bool room = pool_.free_pages() > 0 || evict();
    found.truncate(room ? page * page_tokens + common : page * page_tokens);
    forked_ += room ? 1 : 0;
  }
  return found;
}

std::size_t PrefixCache::known_pages(const Transcript& transcript) const {
  const Node* node = root_.get();
  std::size_t page = 0;
  for (; (page + 1) * page_tokens < transcript.size(); ++page) {
    node = find_page(node, transcript, page);
    if (node == nullptr) break;
  }
  return page;
}

void PrefixCache::insert(smollm3::Sequence& sequence, const Transcript& transcript, bool tail) {
  Node* node = root_.get();
  const std::size_t whole = sequence.length() / page_tokens;
  for (std::size_t page = 0; page < whole; ++page) {
    if (Node* known = find_page(node, transcript, page)) {
      if (known->page != sequence.pages()[page]) sequence.replace_page(page, known->page);
      use(*known);
      node = known;
    } else {
      node = add(node, key_of(transcript, page, page_tokens), sequence.pages()[page]);
    }
  }
  if (tail && sequence.length() % page_tokens != 0) insert_tail(node, sequence, transcript, whole);
}

void PrefixCache::insert_tail(Node* parent, smollm3::Sequence& sequence, const Transcript& transcript,
                              std::size_t page) {
  const Key key = key_of(transcript, page, sequence.length() % page_tokens);
  std::size_t common = 0;
  Node* known = find_part(parent, key, common);
  if (known != nullptr && common == key.tokens.size()) return use(*known);
  add(parent, key, sequence.pages()[page]);
}

PrefixCache::Node* PrefixCache::add(Node* parent, const Key& key, std::byte* memory) {
  // A tail that it goes on from is not needed any more. There is at most one, and nothing stands between the two.
  if (const auto after = parent->next.lower_bound(key); after != parent->next.begin()) {
    Node& before = **std::prev(after);
    const bool goes_on = before.salt == key.salt && common_tokens(before.key(), key) == before.tokens.size();
    if (goes_on && !before.whole()) remove(before);
  }
  auto owned = std::make_unique<Node>();
  Node* node = owned.get();
  node->parent = parent;
  node->salt = key.salt;
  node->tokens.assign(key.tokens.begin(), key.tokens.end());
  node->generated = key.generated;
  node->page = memory;
  node->hash = hash_of(parent->hash, key.salt, key.tokens);
  node->index = parent == root_.get() ? 0 : parent->index + 1;
  nodes_.emplace(node, std::move(owned));
  if (node->whole()) whole_.emplace(node->hash, node);
  if (parent->next.empty()) leaves_.erase({parent->rank, parent});
  parent->next.insert(node);
  leaves_.insert({node->rank, node});
  pool_.share_with_cache(memory);
  use(*node);
  ++version_;
  return node;
}

// GreedyDual (Cao and Irani 1997): what is used is worth its cost more than what was given back last, so that in time
// everything that is not used again goes, what was cheap to compute first.
void PrefixCache::use(Node& node) {
  const bool leaf = leaves_.erase({node.rank, &node}) > 0;
  node.rank = {clock_ + node.cost(), ++uses_};
  if (leaf) leaves_.insert({node.rank, &node});
}

bool PrefixCache::evict() {
  for (const auto& [rank, node] : leaves_) {
    if (pool_.shared(node->page)) continue;
    clock_ = std::max(clock_, rank.first);
    remove(*node);
    ++evicted_;
    return true;
  }
  return false;
}

// A leaf.
void PrefixCache::remove(Node& node) {
  Node* parent = node.parent;
  leaves_.erase({node.rank, &node});
  if (node.whole()) {
    const auto [begin, end] = whole_.equal_range(node.hash);
    whole_.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second == &node; }));
  }
  parent->next.erase(&node);
  if (parent->next.empty() && parent != root_.get()) leaves_.insert({parent->rank, parent});
  pool_.take_from_cache(node.page);
  nodes_.erase(&node);
}

void PrefixCache::each_page(const std::function<void(const std::byte*)>& visit) const {
  for (const auto& [node, owned] : nodes_) visit(node->page);
}

void PrefixCache::check() const {
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw base::Error(base::ErrorKind::Internal, "prefix cache", what);
  };
  std::size_t whole = 0, leaves = 0, children = root_->next.size();
  for (const auto& [node, owned] : nodes_) {
    Node* one = owned.get();
    require(one->parent->next.contains(one), "a page is not among those that follow the one before");
    require(one->parent == root_.get() ? one->index == 0 : one->index == one->parent->index + 1,
            "a page has a wrong number");
    require(one->hash == hash_of(one->parent->hash, one->salt, one->tokens), "a page has a wrong hash");
    require(one->whole() || one->next.empty(), "something follows a tail");
    require(leaves_.contains({one->rank, one}) == one->next.empty(),
            "what can be given back is not what nothing follows");
    require(std::ranges::is_sorted(one->next, Before{}), "pages that follow one are out of order");
    whole += one->whole() ? 1 : 0;
    leaves += one->next.empty() ? 1 : 0;
    children += one->next.size();
  }
  require(whole == whole_.size() && leaves == leaves_.size() && children == nodes_.size(), "pages are lost");
}

}  // namespace engine
