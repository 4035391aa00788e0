// The worker's memory: pages for each step, whose they are, and who gives them up.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include "engine/worker.h"

namespace engine {
namespace {

// A prompt gets the like of so many rows of every step, even where its time is over.
constexpr std::size_t least_rows = 8, least_rows_of_tiles = 32;

}  // namespace

Budget Worker::budget() const {
  const bool fast = options_.prompts == compute::Precision::Fast;
  return {.seconds = seconds(options_.step),
          .rows = loaded_.model().max_batch(),
          .layers = loaded_.config().layers,
          .least_prompt_rows = fast ? least_rows_of_tiles : least_rows,
          .may_overtake = !slices_[1]->on_its_way() && slice().overtaken_by() < loaded_.model().max_batch()};
}

// Reserves pages for the step. Those of kept conversations go first, and then the youngest generation, of the client of
// whom most are under way, gives up its own; the step has to be planned again then, which false says.
bool Worker::make_room(const Step& step) {
  for (const auto* shares : {&step.writers, &step.slice}) {
    for (const Share& share : *shares) {
      while (!running_[share.runnable]->sequence.reserve(share.rows)) {
        if (cache_.evict()) continue;
        // What a slice holds of those that are gone can be evicted once it is dropped.
        const auto holds = std::ranges::find_if(slices_, [](const auto& slice) { return !slice->gone().empty(); });
        if (holds != slices_.end()) {
          drop(**holds);
        } else {
          preempt(youngest_of_most());
        }
        return false;
      }
    }
  }
  return true;
}

void Worker::preempt(const Running* one) {
  std::unique_ptr<Running> youngest = take_out(running_, one);
  if (PromptSlice* slice = slice_of(*youngest)) drop(*slice);
  if (running_.empty()) {
    end(std::move(youngest), Finish::Failed,
        base::Error(base::ErrorKind::Internal, "key/value cache", "has too few pages for one conversation"));
    return;
  }
  cache_.insert(youngest->sequence, youngest->transcript(), /*tail=*/true);
  youngest->give_up();
  youngest->report();
  insert(waiting_, std::move(youngest));
  ++counts_.preempted;
}

// Pages of its tokens, and of one more.
std::size_t Worker::needed_pages(const Running& running) { return smollm3::pages_for(running.transcript().size() + 1); }

// Pages that generations under way hold, or will need for what they have to read.
std::size_t Worker::held_pages() const {
  std::size_t held = pool_.pages_in_use();
  for (const auto& running : running_) {
    const std::size_t needed = needed_pages(*running);
    held += needed - std::min(needed, running->sequence.pages().size());
  }
  return std::min(held, pool_.pages());
}

void Worker::check() const {
  std::unordered_map<const std::byte*, std::uint32_t> owners;
  const auto count = [&](const smollm3::Sequence& sequence) {
    for (const std::byte* page : sequence.pages()) ++owners[page];
  };
  for (const auto& running : running_) count(running->sequence);
  for (const List* list : {&waiting_, &paused_}) {
    for (const auto& one : *list) count(one->sequence);
  }
  for (const auto& slice : slices_) {
    for (const auto& gone : slice->gone()) count(gone->sequence);
  }
  cache_.each_page([&](const std::byte* page) { ++owners[page]; });
  std::size_t in_use = owners.size();
  cache_.each_page([&](const std::byte* page) { in_use -= owners.at(page) == 1 ? 1 : 0; });
  if (in_use != pool_.pages_in_use()) {
    throw base::Error(base::ErrorKind::Internal, "key/value pages", "others are in use than are counted");
  }
  pool_.check(owners);
  cache_.check();
}

}  // namespace engine
