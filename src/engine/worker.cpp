#include "engine/worker.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <unordered_map>
#include <utility>

namespace engine {
namespace {

constexpr auto report_interval = std::chrono::milliseconds(200);
// A prompt gets so many rows of every step, even where its time is over: fewer would not be faster.
constexpr std::size_t least_rows = 8, least_rows_of_tiles = 32;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

std::size_t pages_for(std::size_t positions) {
  return (positions + compute::page_positions - 1) / compute::page_positions;
}

base::Error as_error(const std::exception& failure) {
  if (const auto* error = dynamic_cast<const base::Error*>(&failure)) return *error;
  return base::Error(base::ErrorKind::Internal, "answer", failure.what());
}

}  // namespace

Worker::Worker(LoadedModel& loaded, smollm3::PagePool& pool, std::size_t context, Inbox& inbox, Options options)
    : loaded_(loaded), pool_(pool), context_(context), inbox_(inbox), options_(std::move(options)), kept_(pool) {}

Worker::~Worker() {
  take_arrivals();
  while (!running_.empty()) end(take_out(0), Finish::Cancelled);
  for (auto& waiting : std::exchange(waiting_, {})) end(std::move(waiting), Finish::Cancelled);
}

bool Worker::step() {
  const Step step = plan();
  if (step.shares.empty()) return false;
  if (const std::optional<Drawn> drawn = run(step)) deliver(step, *drawn);
  return true;
}

void Worker::take_arrivals() {
  for (Arrival& arrival : inbox_.take()) {
    waiting_.push_back(std::make_unique<Running>(std::move(arrival), ++arrived_, loaded_.tokenizer(), pool_, context_));
  }
}

// Those that were begun end here between steps; those that wait also within one, by checkpoint().
void Worker::end_cancelled() {
  for (std::size_t i = 0; i < running_.size();) {
    if (running_[i]->generation().cancel_asked()) {
      end(take_out(i), Finish::Cancelled);
    } else {
      ++i;
    }
  }
  end_cancelled_waiting();
}

void Worker::end_cancelled_waiting() {
  const auto cancelled = [](const auto& waiting) { return waiting->generation().cancel_asked(); };
  const auto gone = std::stable_partition(waiting_.begin(), waiting_.end(), std::not_fn(cancelled));
  for (auto it = gone; it != waiting_.end(); ++it) end(std::move(*it), Finish::Cancelled);
  waiting_.erase(gone, waiting_.end());
}

Budget Worker::budget() const {
  const bool fast = options_.prompts == compute::Precision::Fast;
  return {.seconds = seconds(options_.step),
          .rows = loaded_.model().max_batch(),
          .two_modes = fast,
          .least_prompt_rows = fast ? least_rows_of_tiles : least_rows,
          .free_pages = pool_.pages() - held_pages()};
}

// In the order in which they were asked for, also where one was preempted.
template <typename List>
static void insert(List& list, std::unique_ptr<Running> running) {
  const auto place = std::ranges::upper_bound(list, running->order, {}, [](const auto& other) { return other->order; });
  list.insert(place, std::move(running));
}

Step Worker::plan() {
  inbox_.rang();
  take_arrivals();
  end_cancelled();
  admit();
  report_places();
  Step step;
  std::vector<Runnable> runnable;
  do {
    runnable.clear();
    const Budget now = budget();
    for (const auto& running : running_) runnable.push_back(running->runnable(options_.prompts, now.rows));
    step = scheduler_.plan(runnable, now, cost_);
    std::ranges::stable_partition(step.shares, [&](const Share& share) {
      return runnable[share.runnable].precision == compute::Precision::Exact;  // these chunks come first
    });
  } while (!make_room(step));
  bool writes = false, reads = false;
  for (const Share& share : step.shares) (runnable[share.runnable].writing ? writes : reads) = true;
  if (writes && reads) ++counts_.mixed_steps;
  for (const auto& running : running_) ++running->sat_out;
  for (const Share& share : step.shares) running_[share.runnable]->sat_out = 0;
  return step;
}

void Worker::admit() {
  std::vector<Candidate> candidates;
  for (const auto& waiting : waiting_) candidates.push_back({pages_for(waiting->transcript().size() + 1)});
  std::size_t count = Scheduler::admit(candidates, running_.size(), budget());
  for (; count > 0; --count) {
    std::unique_ptr<Running> next = std::move(waiting_.front());
    waiting_.pop_front();
    // One that is begun again goes on with the bits it had.
    next->begin(kept_.find(next->transcript(), /*provenance=*/next->begun()), options_.now());
    insert(running_, std::move(next));
    ++counts_.begun;
  }
}

void Worker::report_places() {
  count();
  std::uint32_t ahead = 0;
  for (const auto& waiting : waiting_) waiting->report(ahead++);
}

// Reserves pages for the step. Those of kept conversations go first, and then the youngest generation gives up its own;
// the step has to be planned again then, which false says.
bool Worker::make_room(const Step& step) {
  for (const Share& share : step.shares) {
    while (!running_[share.runnable]->sequence.reserve(share.rows)) {
      if (kept_.evict()) continue;
      preempt();
      return false;
    }
  }
  return true;
}

void Worker::preempt() {
  std::unique_ptr<Running> youngest = take_out(running_.size() - 1);
  if (running_.empty()) {
    end(std::move(youngest), Finish::Failed,
        base::Error(base::ErrorKind::Internal, "key/value cache", "has too few pages for one conversation"));
    return;
  }
  youngest->give_up();
  youngest->report();
  insert(waiting_, std::move(youngest));
  ++counts_.preempted;
}

std::optional<Worker::Drawn> Worker::run(const Step& step) {
  std::vector<smollm3::Chunk> chunks;
  std::vector<compute::SamplingRules> rules;
  for (const Share& share : step.shares) {
    Running& running = *running_[share.runnable];
    const bool draws = running.completes(share.rows);
    chunks.push_back({.sequence = &running.sequence,
                      .tokens = running.next_tokens(share.rows),
                      .logits = draws ? smollm3::Chunk::Logits::Last : smollm3::Chunk::Logits::None,
                      .precision = running.runnable(options_.prompts, 1).precision});
    if (draws) rules.push_back(running.rules());
  }
  const Clock::time_point start = last_report_ = options_.now();
  try {
    const std::optional<compute::View> logits =
        loaded_.model().forward(chunks, [&](double done) { return checkpoint(step, done); });
    if (!logits) {
      ++counts_.given_up;
      return std::nullopt;
    }
    Drawn drawn(rules.size());
    if (!rules.empty()) loaded_.device().candidates(*logits, rules, drawn);
    cost_.learn(step.work, seconds(options_.now() - start));
    ++counts_.steps;
    return drawn;
  } catch (const std::exception& failure) {
    fail(step, as_error(failure));
    return std::nullopt;
  }
}

// Between layers of a step. Whoever gave up meanwhile need not wait for its end, and the others hear how far it is.
bool Worker::checkpoint(const Step& step, double done) {
  if (inbox_.rang()) {
    take_arrivals();
    end_cancelled_waiting();
    const auto cancelled = [&](const Share& share) { return running_[share.runnable]->generation().cancel_asked(); };
    if (std::ranges::all_of(step.shares, cancelled)) return false;
  }
  if (inbox_.closed()) return false;
  const Clock::time_point now = options_.now();
  if (now - last_report_ < report_interval) return true;
  last_report_ = now;
  for (const Share& share : step.shares) {
    running_[share.runnable]->report_part(static_cast<std::size_t>(static_cast<double>(share.rows) * done));
  }
  return true;
}

// Gives each generation whose transcript is computed its next token.
void Worker::deliver(const Step& step, const Drawn& drawn) {
  const Clock::time_point now = options_.now();
  struct Ended {
    std::size_t index;
    Finish finish;
    std::optional<base::Error> error = {};
  };
  std::vector<Ended> ended;
  auto choice = drawn.begin();
  for (const Share& share : step.shares) {
    Running& running = *running_[share.runnable];
    if (!running.completes(0)) {
      ++counts_.sliced;
    } else if (const compute::Choice& next = *choice++; !next.finite) {
      ended.push_back({share.runnable, Finish::Failed,
                       base::Error("logits", "are not finite: the model file is damaged or not a language model",
                                   "download it again")});
    } else if (const auto finish = running.advance(static_cast<Token>(next.token), now)) {
      ended.push_back({share.runnable, *finish});
    }
    running.report();
  }
  std::ranges::sort(ended, std::greater{}, &Ended::index);  // what is taken out moves those behind it
  for (Ended& one : ended) end(take_out(one.index), one.finish, std::move(one.error));
}

void Worker::fail(const Step& step, const base::Error& error) {
  std::vector<std::size_t> indices;
  for (const Share& share : step.shares) indices.push_back(share.runnable);
  std::ranges::sort(indices, std::greater{});
  for (const std::size_t i : indices) end(take_out(i), Finish::Failed, error);
}

std::unique_ptr<Running> Worker::take_out(std::size_t index) {
  std::unique_ptr<Running> running = std::move(running_[index]);
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  return running;
}

void Worker::count() {
  running_count_ = static_cast<std::uint32_t>(running_.size());
  waiting_count_ = static_cast<std::uint32_t>(waiting_.size());
}

// The one place where a generation ends. What it computed is kept, whatever the end.
void Worker::end(std::unique_ptr<Running> running, Finish finish, std::optional<base::Error> error) {
  ++counts_.ended;
  if (finish == Finish::Cancelled) ++counts_.cancelled;
  if (finish != Finish::Failed) kept_.keep(std::move(running->sequence), running->transcript());
  count();  // whoever reads the end finds it counted
  running->end(finish, std::move(error), options_.now());
}

std::vector<Arrival> Worker::hand_back() {
  take_arrivals();
  std::vector<Arrival> arrivals;
  std::erase_if(waiting_, [&](const std::unique_ptr<Running>& waiting) {
    if (waiting->begun()) return false;
    arrivals.push_back(std::move(waiting->arrival()));
    return true;
  });
  return arrivals;
}

std::size_t Worker::held_pages() const {
  std::size_t pages = 0;  // shared ones count more than once
  for (const auto& running : running_) pages += running->sequence.pages().size();
  return std::min(pages, pool_.pages());
}

void Worker::check() const {
  std::unordered_map<const std::byte*, std::uint32_t> owners;
  const auto count = [&](const smollm3::Sequence& sequence) {
    for (const std::byte* page : sequence.pages()) ++owners[page];
  };
  for (const auto& running : running_) count(running->sequence);
  for (const auto& waiting : waiting_) count(waiting->sequence);
  kept_.each_sequence(count);
  pool_.check(owners);
}

}  // namespace engine
