#include "engine/prefix_cache.h"

#include <algorithm>
#include <span>

#include "base/error.h"

namespace engine {
namespace {

constexpr std::size_t page_tokens = compute::page_positions;
// Rows behind so many positions cost twice what they cost at the beginning, by measurements of the 3B shape.
constexpr double doubling = 4096;

std::span<const Token> tokens_of(const Transcript& transcript, std::size_t page, std::size_t count = page_tokens) {
  return transcript.tokens().subspan(page * page_tokens, count);
}

// Of all tokens up to a page's end, given that of those before (SplitMix64's finaliser for each).
std::uint64_t hash_of(std::uint64_t hash, std::span<const Token> tokens) {
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
  std::vector<Token> tokens = {};  // 64, or fewer: a tail, which nothing follows
  std::uint64_t generated = 0;     // a bit for each
  std::byte* page = nullptr;
  std::uint64_t hash = 0;  // of all tokens up to the last of this page
  std::size_t index = 0;   // the page's number in its conversation
  std::vector<Node*> next = {};
  Rank rank = {};

  bool whole() const { return tokens.size() == page_tokens; }
  // What it cost to compute.
  double cost() const { return 1 + static_cast<double>(index * page_tokens) / doubling; }
};

std::uint64_t PrefixCache::hash_on(std::uint64_t hash, const Transcript& transcript, std::size_t page) {
  return hash_of(hash, tokens_of(transcript, page));
}

PrefixCache::PrefixCache(smollm3::PagePool& pool, bool fast_prompts)
    : pool_(pool), fast_prompts_(fast_prompts), root_(std::make_unique<Node>()) {}

PrefixCache::~PrefixCache() {
  for (const auto& [node, owned] : nodes_) pool_.give_back(node->page);
}

// Whose tokens are those of the transcript's page. Of several, that differ in what was generated, rather the one that
// does not differ from the transcript.
PrefixCache::Node* PrefixCache::find_page(const Node* parent, const Transcript& transcript, std::size_t page,
                                          bool provenance) const {
  const std::span<const Token> tokens = tokens_of(transcript, page);
  const auto [begin, end] = whole_.equal_range(hash_of(parent->hash, tokens));
  Node* other = nullptr;
  for (auto it = begin; it != end; ++it) {
    Node* node = it->second;
    if (node->parent != parent || !std::ranges::equal(node->tokens, tokens)) continue;
    if (!fast_prompts_ || node->generated == transcript.generated_in_page(page)) return node;
    if (!provenance) other = node;
  }
  return other;
}

// How many tokens from a page's first on are the same, up to `most`.
std::size_t PrefixCache::common_tokens(const Node& node, const Transcript& transcript, std::size_t page,
                                       std::size_t most, bool provenance) const {
  const std::span<const Token> tokens = tokens_of(transcript, page, std::min(most, node.tokens.size()));
  const auto differ = std::ranges::mismatch(tokens, node.tokens);
  auto same = static_cast<std::size_t>(differ.in1 - tokens.begin());
  if (!fast_prompts_ || !provenance) return same;
  const std::uint64_t differing = node.generated ^ transcript.generated_in_page(page);
  while (first_bits(differing, same) != 0) --same;
  return same;
}

// The page after `parent` that has the most tokens in common with the transcript's; null if none has any.
PrefixCache::Node* PrefixCache::find_part(const Node* parent, const Transcript& transcript, std::size_t page,
                                          std::size_t most, bool provenance, std::size_t& common) const {
  Node* best = nullptr;
  common = 0;
  for (Node* node : parent->next) {
    const std::size_t same = common_tokens(*node, transcript, page, most, provenance);
    if (same <= common) continue;
    best = node;
    common = same;
  }
  return best;
}

PrefixCache::Found PrefixCache::find(const Transcript& transcript, bool provenance) {
  Found found{smollm3::Sequence(pool_), {}};
  const std::size_t limit = transcript.size() - 1;
  Node* node = root_.get();
  std::size_t page = 0;
  const auto take = [&](Node& known, std::size_t tokens) {
    use(known);
    for (std::size_t i = 0; i < tokens; ++i) {
      found.transcript.append(known.tokens[i], (known.generated >> i & 1) != 0);
    }
  };
  for (; (page + 1) * page_tokens <= limit; ++page) {
    Node* next = find_page(node, transcript, page, provenance);
    if (next == nullptr) break;
    found.sequence.share_page(next->page);
    take(*next, page_tokens);
    node = next;
  }
  std::size_t common = 0;
  const std::size_t most = std::min(limit - page * page_tokens, page_tokens);
  if (Node* part = find_part(node, transcript, page, most, provenance, common)) {
    take(*part, common);
    found.sequence.share_page(part->page);  // so that it stays while room for the copy is made
    const bool room = pool_.free_pages() > 0 || evict();
    found.sequence.truncate(room ? page * page_tokens + common : page * page_tokens);
    found.transcript.truncate(found.sequence.length());
  }
  return found;
}

std::size_t PrefixCache::known_pages(const Transcript& transcript, bool provenance) const {
  const Node* node = root_.get();
  std::size_t page = 0;
  for (; (page + 1) * page_tokens < transcript.size(); ++page) {
    node = find_page(node, transcript, page, provenance);
    if (node == nullptr) break;
  }
  return page;
}

void PrefixCache::insert(smollm3::Sequence& sequence, const Transcript& transcript, bool tail) {
  Node* node = root_.get();
  const std::size_t whole = sequence.length() / page_tokens;
  for (std::size_t page = 0; page < whole; ++page) {
    if (Node* known = find_page(node, transcript, page, /*provenance=*/true)) {
      if (known->page != sequence.pages()[page]) sequence.replace_page(page, known->page);
      use(*known);
      node = known;
    } else {
      node = add(node, transcript, page, page_tokens, sequence.pages()[page]);
    }
  }
  if (tail && sequence.length() % page_tokens != 0) insert_tail(node, sequence, transcript, whole);
}

void PrefixCache::insert_tail(Node* parent, smollm3::Sequence& sequence, const Transcript& transcript,
                              std::size_t page) {
  const std::size_t count = sequence.length() % page_tokens;
  std::size_t common = 0;
  Node* known = find_part(parent, transcript, page, count, /*provenance=*/true, common);
  if (known != nullptr && common == count) return use(*known);
  add(parent, transcript, page, count, sequence.pages()[page]);
}

PrefixCache::Node* PrefixCache::add(Node* parent, const Transcript& transcript, std::size_t page, std::size_t tokens,
                                    std::byte* memory) {
  // Tails that it goes on from are not needed any more.
  for (std::size_t i = parent->next.size(); i-- > 0;) {
    Node& other = *parent->next[i];
    if (other.whole()) continue;
    if (common_tokens(other, transcript, page, tokens, /*provenance=*/true) == other.tokens.size()) remove(other);
  }
  auto owned = std::make_unique<Node>();
  Node* node = owned.get();
  const std::span<const Token> its = tokens_of(transcript, page, tokens);
  node->parent = parent;
  node->tokens.assign(its.begin(), its.end());
  node->generated = first_bits(transcript.generated_in_page(page), tokens);
  node->page = memory;
  node->hash = hash_of(parent->hash, its);
  node->index = page;
  parent->next.reserve(parent->next.size() + 1);
  nodes_.emplace(node, std::move(owned));
  if (node->whole()) whole_.emplace(node->hash, node);
  if (parent->next.empty()) leaves_.erase({parent->rank, parent});
  parent->next.push_back(node);
  leaves_.insert({node->rank, node});
  pool_.share(memory);
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
  std::erase(parent->next, &node);
  if (parent->next.empty() && parent != root_.get()) leaves_.insert({parent->rank, parent});
  pool_.give_back(node.page);
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
    require(std::ranges::count(node->parent->next, node) == 1, "a page is not among those that follow the one before");
    require(node->parent == root_.get() ? node->index == 0 : node->index == node->parent->index + 1,
            "a page has a wrong number");
    require(node->hash == hash_of(node->parent->hash, node->tokens), "a page has a wrong hash");
    require(node->whole() || node->next.empty(), "something follows a tail");
    require(leaves_.contains({node->rank, const_cast<Node*>(node)}) == node->next.empty(),
            "what can be given back is not what nothing follows");
    whole += node->whole() ? 1 : 0;
    leaves += node->next.empty() ? 1 : 0;
    children += node->next.size();
  }
  require(whole == whole_.size() && leaves == leaves_.size() && children == nodes_.size(), "pages are lost");
}

}  // namespace engine
