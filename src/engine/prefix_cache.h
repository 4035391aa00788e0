// The prefix cache: keys and values found by what they are of. A tree of pages, in which a path from the root spells
// the first tokens of a conversation, 64 to a page; whoever begins with the same tokens shares the pages, whether those
// that computed them are over or still under way. (Automatic prefix caching, as in vLLM, on a radix tree, as in
// SGLang.)
//
//   root ─┬─ page 0 ─┬─ page 1 ─── page 2 ─── tail of 17 tokens
//         │          └─ page 1'
//         └─ page 0'
//
// A page found whole is shared. One found in part (a tail, or a page that differs from some token on) is copied, since
// its other positions will be written: so a conversation can be forked at any token. Only the worker's thread touches
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>

#include "engine/transcript.h"
#include "smollm3/kv_cache.h"

namespace engine {

class PrefixCache {
 public:
  // `fast_prompts`: whether a prompt's keys and values have other bits than those of the same tokens when they are
  // generated, so that a page is also told apart by which of its tokens were. The pool must outlive it.
  PrefixCache(smollm3::PagePool& pool, bool fast_prompts);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // A sequence of as many of the transcript's first tokens as are known to whoever has its salt, but not of the last
  // one, whose logits are needed.
  smollm3::Sequence find(const Transcript& transcript);
  // How many whole pages find() would share.
  std::size_t known_pages(const Transcript& transcript) const;

  // Takes note of what was computed: whole pages and, with `tail`, the rest, which nobody may write to any more. Pages
  // of the sequence that are known already are exchanged for the known ones.
  void insert(smollm3::Sequence& sequence, const Transcript& transcript, bool tail);

  // Gives one page back: of those that nobody uses and nothing follows, the one that is worth least. False if there is
  // none.
  bool evict();

  // A hash of all tokens up to a page's end, given that of those before it; 0 before the first.
  static std::uint64_t hash_on(std::uint64_t hash, const Transcript& transcript, std::size_t page);

  std::size_t pages() const { return nodes_.size(); }
  std::uint64_t forked() const { return forked_; }    // pages that were copied, so far
  std::uint64_t evicted() const { return evicted_; }  // pages that were given back, so far
  // Changes whenever more may be found than before.
  std::uint64_t version() const { return version_; }

  // For tests: throws base::Error (Internal) if the tree is not what it should be.
  void check() const;
  void each_page(const std::function<void(const std::byte*)>& visit) const;

 private:
  struct Node;

  // Of one page: what tells it apart from others that follow the same.
  struct Key {
    std::uint64_t salt;
    std::span<const Token> tokens;
    std::uint64_t generated;  // a bit for each; 0 where these make no difference
  };
  // The order of a dictionary, in which the page that begins most alike is a neighbour.
  struct Before {
    using is_transparent = void;
    bool operator()(const Node* a, const Node* b) const;
    bool operator()(const Node* a, const Key& b) const;
  };
  using Pages = std::set<Node*, Before>;

  // Its place among those that could be given back: worth, then when it was last used.
  using Rank = std::pair<double, std::uint64_t>;

  static std::size_t common_tokens(const Key& a, const Key& b);
  Key key_of(const Transcript& transcript, std::size_t page, std::size_t tokens) const;
  Node* find_page(const Node* parent, const Transcript& transcript, std::size_t page) const;
  Node* find_part(const Node* parent, const Key& key, std::size_t& common) const;
  Node* add(Node* parent, const Key& key, std::byte* memory);
  void insert_tail(Node* parent, smollm3::Sequence& sequence, const Transcript& transcript, std::size_t page);
  void use(Node& node);
  void remove(Node& node);

  smollm3::PagePool& pool_;
  bool fast_prompts_;
  std::unique_ptr<Node> root_;
  std::unordered_map<const Node*, std::unique_ptr<Node>> nodes_;  // all but the root
  std::unordered_multimap<std::uint64_t, Node*> whole_;           // by the hash of all tokens up to their end
  std::set<std::pair<Rank, Node*>> leaves_;
  double clock_ = 0;  // the worth of what was given back last
  std::uint64_t uses_ = 0;
  std::uint64_t version_ = 0;
  std::uint64_t forked_ = 0;
  std::uint64_t evicted_ = 0;
};

}  // namespace engine
