// A prefix cache: the keys and values of generations that are over, kept for whoever continues the conversation or
// begins alike. The most recently used first; the least recently used go first when memory is needed.
#pragma once

#include <cstddef>
#include <list>

#include "engine/transcript.h"
#include "smollm3/kv_cache.h"

namespace engine {

class KeptPrefixes {
 public:
  explicit KeptPrefixes(smollm3::PagePool& pool) : pool_(pool) {}

  struct Found {
    smollm3::Sequence sequence;
    Transcript transcript;  // begins with the sequence's tokens, and says how each was computed
  };
  // A sequence of as many of the transcript's first tokens as are known, but not of the last one, whose logits are
  // needed. With `provenance` a token is known only where it was given, or generated, as it was here: where prompts are
  // computed in a fast mode, its keys and values have other bits otherwise.
  Found find(const Transcript& transcript, bool provenance);
  void keep(smollm3::Sequence sequence, Transcript transcript);
  // Gives the pages of one back; false if there is none.
  bool evict();

  template <typename Visit>
  void each_sequence(Visit&& visit) const {
    for (const Kept& kept : kept_) visit(kept.sequence);
  }

 private:
  struct Kept {
    smollm3::Sequence sequence;
    Transcript transcript;  // of the sequence's length
  };

  smollm3::PagePool& pool_;
  std::list<Kept> kept_;
};

}  // namespace engine
