#include "engine/shared_beginnings.h"

#include <cstdint>
#include <unordered_set>

namespace engine {
namespace {

void note_whole_pages(Running& running, PrefixCache& cache) {
  const std::size_t whole = running.sequence.length() / compute::page_positions;
  if (whole <= running.pages_noted) return;
  cache.insert(running.sequence, running.transcript(), /*tail=*/false);
  running.pages_noted = whole;
}

void go_on_from_others(Running& running, PrefixCache& cache) {
  if (running.cache_version == cache.version()) return;
  running.cache_version = cache.version();
  const std::size_t known = cache.known_pages(running.transcript());
  if (known * compute::page_positions <= running.sequence.length()) return;
  running.go_on_from(cache.find(running.transcript()));
}

}  // namespace

void share_beginnings(const std::vector<std::unique_ptr<Running>>& running,
                      const std::function<bool(const Running&)>& in_slice, PrefixCache& cache) {
  std::unordered_set<std::uint64_t> being_read;
  const auto reads_first = [&](Running& one) {
    const auto page = one.next_page_hash();
    return !page || being_read.insert(*page).second;
  };
  for (const auto& one : running) {
    if (in_slice(*one)) {
      reads_first(*one);
    } else {
      note_whole_pages(*one, cache);
    }
  }
  for (const auto& one : running) {
    if (in_slice(*one) || one->writes()) continue;
    go_on_from_others(*one, cache);
    one->waits = !reads_first(*one);
  }
}

}  // namespace engine
