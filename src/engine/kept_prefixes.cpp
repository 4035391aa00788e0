#include "engine/kept_prefixes.h"

#include <algorithm>
#include <utility>

namespace engine {
namespace {

// A bound on the time that find() takes; memory bounds their size.
constexpr std::size_t most_kept = 256;

}  // namespace

KeptPrefixes::Found KeptPrefixes::find(const Transcript& transcript, bool provenance) {
  auto best = kept_.end();
  std::size_t known = 0;
  for (auto it = kept_.begin(); it != kept_.end(); ++it) {
    const std::size_t common = std::min(it->transcript.common_prefix(transcript, provenance), transcript.size() - 1);
    if (common > known) {
      known = common;
      best = it;
    }
  }
  if (best == kept_.end()) return {smollm3::Sequence(pool_), {}};

  // A conversation that goes on is continued in place; one that merely begins alike is left to be continued later.
  const bool goes_on = known * 4 >= best->transcript.size() * 3;
  if (!goes_on) {
    kept_.splice(kept_.begin(), kept_, best);
    return {best->sequence.fork(known), best->transcript};
  }
  Found found{std::move(best->sequence), std::move(best->transcript)};
  kept_.erase(best);
  found.sequence.truncate(known);
  return found;
}

void KeptPrefixes::keep(smollm3::Sequence sequence, Transcript transcript) {
  if (sequence.length() == 0) return;
  transcript.truncate(sequence.length());
  kept_.push_front({std::move(sequence), std::move(transcript)});
  if (kept_.size() > most_kept) kept_.pop_back();
}

bool KeptPrefixes::evict() {
  if (kept_.empty()) return false;
  kept_.pop_back();
  return true;
}

}  // namespace engine
