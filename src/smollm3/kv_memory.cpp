#include "smollm3/kv_memory.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "smollm3/kv_cache.h"

namespace smollm3 {
namespace {

using base::Error;
using base::ErrorKind;

constexpr std::uint64_t kilo = 1000, mega = 1'000'000;

// The unit in which a number of bytes has three figures or so.
std::uint64_t unit(std::uint64_t bytes) { return bytes < 10 * mega ? kilo : mega; }

std::string size(std::uint64_t bytes) {
  return std::to_string(bytes / unit(bytes)) + (unit(bytes) == mega ? " MB" : " kB");
}

// As a value of --kv-memory.
std::string value(std::uint64_t bytes) {
  return std::to_string(bytes / unit(bytes)) + (unit(bytes) == mega ? "M" : "K");
}

std::string what_is_free(const compute::FreeMemory& free) {
  const std::string found = size(free.found) + " are free";
  return free.held_back == 0 ? found : found + ", less " + size(free.held_back) + " held back for weights and work";
}

std::string context_of(std::uint64_t positions) {
  const std::string count = std::to_string(positions) + " positions";
  return positions == compute::page_positions ? "smallest context, " + count : "context of " + count;
}

std::string keys_and_values(std::uint64_t bytes) { return "its keys and values take " + size(bytes); }

std::string fitting_context(std::uint64_t pages) {
  return "--ctx " + std::to_string(pages * compute::page_positions) + " would fit";
}

}  // namespace

void require_room(std::uint64_t positions, const compute::KvShape& shape, const compute::FreeMemory& free) {
  const std::uint64_t fitting = free.for_pages() / shape.page_bytes();
  if (pages_for(positions) <= fitting) return;
  throw Error(ErrorKind::Resource, context_of(positions),
              keys_and_values(pages_for(positions) * shape.page_bytes()) + "; " + what_is_free(free),
              fitting > 0 ? fitting_context(fitting) : "free some memory");
}

KvSize choose_kv_size(const KvWish& wish, std::uint64_t models_context, const compute::KvShape& shape,
                      const compute::FreeMemory& free) {
  const std::uint64_t page_bytes = shape.page_bytes();
  const std::uint64_t room = free.for_pages();
  const std::uint64_t pages = (wish.memory > 0 ? std::min(wish.memory, room) : room) / page_bytes;
  KvSize chosen{.context = wish.context};
  if (chosen.context == 0) {
    chosen.context = std::clamp<std::uint64_t>(pages * compute::page_positions, compute::page_positions,
                                               std::max<std::uint64_t>(models_context, compute::page_positions));
  }
  require_room(chosen.context, shape, free);
  if (wish.memory > room) {
    throw Error(ErrorKind::Resource, "--kv-memory of " + size(wish.memory), what_is_free(free),
                "--kv-memory " + (room % mega == 0 ? value(room) : std::to_string(room / kilo) + "K") + " would fit");
  }
  const std::uint64_t of_one = pages_for(chosen.context);
  if (of_one > pages) {
    const std::uint64_t needed = of_one * page_bytes;
    const std::string enough = "--kv-memory " + value(needed + unit(needed) - 1);
    throw Error(context_of(chosen.context),
                keys_and_values(needed) + " and --kv-memory leaves them " + size(wish.memory),
                pages > 0 ? fitting_context(pages) + ", or " + enough : "give " + enough);
  }
  const bool all = wish.memory > 0 || of_one > pages / wish.conversations;
  chosen.positions = (all ? pages : of_one * wish.conversations) * compute::page_positions;
  return chosen;
}

}  // namespace smollm3
