// Whose turn it is: who comes, waits, is begun, pauses, and leaves.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "engine/worker.h"

namespace engine {
namespace {

constexpr std::size_t most_running = 256;
constexpr std::uint32_t most_passed_over = 16;

base::Error as_error(const std::exception& failure) { return base::as_error(failure, "answer"); }

}  // namespace

void Worker::take_arrivals() {
  std::vector<Arrival> arrivals = inbox_.take();
  // So that moving from one list to another needs no memory, and loses nobody.
  const std::size_t most = running_.size() + waiting_.size() + paused_.size() + arrivals.size();
  for (List* list : {&running_, &waiting_, &paused_}) list->reserve(most);
  for (Arrival& arrival : arrivals) {
    const std::shared_ptr<Generation> generation = arrival.generation;
    try {
      auto running = std::make_unique<Running>(std::move(arrival), ++arrived_, loaded_.tokenizer(), pool_, context_);
      running->ticket = fair_share_.join(generation->client());
      if (const auto ending = running->over()) {
        end(std::move(running), ending->finish, ending->error);
      } else {
        waiting_.push_back(std::move(running));
      }
    } catch (const std::exception& failure) {
      generation->journal().append(Done{.finish = Finish::Failed, .error = as_error(failure)});
    }
  }
}

template <typename Wanted>
Worker::List Worker::take_if(List& list, Wanted wanted) {
  const auto gone = std::stable_partition(list.begin(), list.end(), [&](const auto& one) { return !wanted(*one); });
  List taken(std::make_move_iterator(gone), std::make_move_iterator(list.end()));
  list.erase(gone, list.end());
  return taken;
}

void Worker::end_all(List list, Finish finish, const std::optional<base::Error>& error) {
  for (auto& one : list) {
    const std::shared_ptr<Generation> generation = one->arrival().generation;
    try {
      end(std::move(one), finish, error);
    } catch (const std::exception& failure) {  // no memory: it ends all the same
      if (generation->journal().over()) continue;
      generation->journal().append(Done{.finish = Finish::Failed, .error = as_error(failure)});
    }
  }
}

void Worker::end_cancelled() {
  const auto cancelled = [](const Running& one) { return one.generation().cancel_asked(); };
  for (List* list : {&running_, &waiting_, &paused_}) end_all(take_if(*list, cancelled), Finish::Cancelled);
}

void Worker::end_late() {
  const auto late = [now = options_.now()](const Running& one) { return one.is_late(now); };
  for (List* list : {&running_, &waiting_}) {
    List all = take_if(*list, late);
    end_all(take_if(all, [](const Running& one) { return one.writing_began(); }), Finish::Length);
    end_all(std::move(all), Finish::Failed,
            base::Error(base::ErrorKind::Busy, "answer", "it could not be begun within its deadline",
                        "try again later, or with a longer one"));
  }
}

// One that pauses is as one that is preempted, but waits in another list. One with a part in the slice has to wait for
// its end, unless all of it is for such.
void Worker::pause_and_resume() {
  const auto pauses = [](const Running& one) { return one.generation().pause_asked(); };
  for (const auto& slice : slices_) {
    if (nobody_wants(*slice)) drop(*slice);
  }
  const auto pauses_now = [&](const Running& one) { return pauses(one) && slice_of(one) == nullptr; };
  for (List* list : {&running_, &waiting_}) {
    for (auto& one : take_if(*list, pauses_now)) {
      if (list == &running_) cache_.insert(one->sequence, one->transcript(), /*tail=*/true);
      Running& paused = *one;
      paused.pause(options_.now());
      insert(paused_, std::move(one));
      ++counts_.paused;
      count();  // whoever reads that it is paused finds it counted
      paused.report();
    }
  }
  for (auto& one : take_if(paused_, [&](const Running& it) { return !pauses(it); })) {
    FairShare::Ticket ticket = fair_share_.join(one->generation().client());
    one->resume(options_.now());
    one->ticket = std::move(ticket);
    insert(waiting_, std::move(one));
  }
}

bool Worker::nobody_wants(const PromptSlice& slice) {
  const std::vector<Running*> readers = slice.readers();
  return !readers.empty() &&
         std::ranges::all_of(readers, [](const Running* one) { return one->generation().pause_asked(); });
}

// In fair order, while there is memory. One that does not fit is passed over a few times, so that memory does not lie
// idle meanwhile, but not for ever.
void Worker::admit() {
  std::size_t begun = 0;
  std::size_t free_pages = waiting_.empty() ? 0 : pool_.pages() - held_pages();
  std::vector<Running*> passed_over;
  for (Running* next : fair_order()) {
    if (running_.size() >= most_running && !passed_over.empty()) break;
    if (!begins_ && !next->begun()) continue;
    const std::size_t pages = std::min(needed_pages(*next), pool_.pages());
    bool fits = running_.size() < most_running && pages <= free_pages;
    while (!fits && passed_over.empty() && make_way_for(*next, pages, free_pages)) {
      free_pages = pool_.pages() - held_pages();
      fits = running_.size() < most_running && pages <= free_pages;
    }
    if (!fits) {
      if (next->passed_over >= most_passed_over) break;
      passed_over.push_back(next);
      continue;
    }
    free_pages -= pages;
    begun += next->begun() ? 0 : 1;
    for (Running* other : passed_over) ++other->passed_over;
    begin(take_out(waiting_, next));
  }
  wait_estimate_.note(seconds(options_.now().time_since_epoch()), waiting_.size(), begun);
}

void Worker::begin(std::unique_ptr<Running> next) {
  try {
    next->begin(cache_.find(next->transcript()), options_.now());
    insert(running_, std::move(next));
    ++counts_.begun;
  } catch (const std::exception& failure) {
    end(std::move(next), Finish::Failed, as_error(failure));
  }
}

std::vector<Running*> Worker::fair_order() const {
  std::vector<Candidate> candidates;
  for (const auto& one : waiting_) {
    const double cost = one->begun() ? 0 : FairShare::read * static_cast<double>(one->transcript().size());
    candidates.push_back({.client = one->ticket.client(), .served = one->ticket.tokens(), .cost = cost});
  }
  std::vector<Running*> order;
  for (const std::size_t i : Scheduler::order(candidates)) order.push_back(waiting_[i].get());
  return order;
}

// A client of whom nothing is under way does not wait for others to end of whom much is: of these the youngest gives up
// its place. False if there is none.
bool Worker::make_way_for(const Running& next, std::size_t pages, std::size_t free_pages) {
  const auto counts = running_of_clients();
  if (counts.contains(next.ticket.client())) return false;
  Running* youngest = youngest_of_most();
  if (youngest == nullptr || counts.at(youngest->ticket.client()) < 2) return false;
  // Not where it would be in vain: all but the oldest of each client may give up theirs.
  std::unordered_set<std::uint32_t> has_oldest;
  for (const auto& one : running_) {
    if (!has_oldest.insert(one->ticket.client()).second) free_pages += needed_pages(*one);
  }
  if (free_pages < pages) return false;
  preempt(youngest);
  return true;
}

std::unordered_map<std::uint32_t, std::size_t> Worker::running_of_clients() const {
  std::unordered_map<std::uint32_t, std::size_t> counts;
  for (const auto& one : running_) ++counts[one->ticket.client()];
  return counts;
}

// The youngest under way of the client of whom most are; null if nothing is.
Running* Worker::youngest_of_most() const {
  const auto counts = running_of_clients();
  Running* youngest = nullptr;
  for (const auto& one : running_) {
    const bool more = youngest == nullptr || counts.at(one->ticket.client()) >= counts.at(youngest->ticket.client());
    if (more) youngest = one.get();
  }
  return youngest;
}

void Worker::report_places() {
  count();
  if (waiting_.empty()) return;
  const double now = seconds(options_.now().time_since_epoch());
  std::uint32_t ahead = 0;
  for (Running* one : fair_order()) {
    one->report(ahead, wait_estimate_.seconds(ahead, now));
    ++ahead;
  }
}

void Worker::count() {
  running_count_ = static_cast<std::uint32_t>(running_.size());
  waiting_count_ = static_cast<std::uint32_t>(waiting_.size());
  paused_count_ = static_cast<std::uint32_t>(paused_.size());
  const double now = seconds(options_.now().time_since_epoch());
  wait_seconds_ = waiting_.empty() ? 0 : wait_estimate_.seconds(waiting_.size(), now);
}

std::vector<Unbegun> Worker::hand_back() {
  take_arrivals();
  List unbegun;
  for (List* list : {&waiting_, &paused_}) {
    for (auto& one : take_if(*list, [](const Running& it) { return !it.begun(); })) insert(unbegun, std::move(one));
  }
  // Requests are tokens of this model.
  end_all(take_if(unbegun, [](const Running& one) { return one.arrival().turn == nullptr; }), Finish::Failed,
          base::Error(base::ErrorKind::Busy, "model", "it was replaced by another", "ask again"));
  end_all(std::exchange(paused_, {}), Finish::Failed,
          base::Error(base::ErrorKind::Busy, "answer", "it was paused when the model was replaced by another",
                      "ask again"));
  count();
  std::vector<Unbegun> turns;
  for (const auto& one : unbegun) {
    Arrival& arrival = one->arrival();
    turns.push_back({arrival.generation, arrival.turn, arrival.asked, std::move(arrival.on_prepared)});
  }
  return turns;
}

}  // namespace engine
