// What the worker's thread does: step after step, for all generations at once (continuous batching). The scheduler
// plans a step; then everybody who writes gets a token, and prompts are read for the rest of the step's time.
//
// Not itself a thread, so that tests can take it through steps of their own choosing; engine.h has the thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/fair_share.h"
#include "engine/inbox.h"
#include "engine/loaded_model.h"
#include "engine/prefix_cache.h"
#include "engine/prompt_slice.h"
#include "engine/running.h"
#include "engine/scheduler.h"
#include "engine/wait_estimate.h"
#include "smollm3/kv_cache.h"

namespace engine {

// What happened so far. For tests: only the worker's thread may read it.
struct Counts {
  std::uint64_t steps = 0;
  std::uint64_t mixed_steps = 0;  // in which some wrote and others' prompts were read
  std::uint64_t begun = 0;
  std::uint64_t ended = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t preempted = 0;
  std::uint64_t paused = 0;
  std::uint64_t sliced = 0;     // slices of a prompt that were not its last
  std::uint64_t layered = 0;    // steps that left a slice on its way through the layers
  std::uint64_t given_up = 0;   // slices, since everybody whom they were for had gone
  std::uint64_t overtaken = 0;  // slices, by one of a client that was given less
};

struct Load {
  std::uint32_t running = 0;
  std::uint32_t waiting = 0;
  std::uint32_t paused = 0;
  std::uint32_t wait_seconds = 0;  // that one would probably wait that is asked for now; 0: not at all, or nobody knows
};

class Worker {
 public:
  using Now = std::function<Clock::time_point()>;

  struct Options {
    std::chrono::milliseconds step{250};
    compute::Precision prompts = compute::Precision::Exact;
    Now now = [] { return Clock::now(); };
  };

  // All must outlive the worker. `context`: positions that one conversation may have; the pool must have room for them.
  Worker(LoadedModel& loaded, smollm3::PagePool& pool, std::size_t context, Inbox& inbox, Options options);
  ~Worker();  // ends what is under way, with Finish::Cancelled
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Computes one step; false if there is nothing to compute.
  bool step();
  // From now on none is begun that was not begun before.
  void begin_no_more() { begins_ = false; }
  // The turns that have not been begun, in the order in which they came. They are no longer the worker's. Requests that
  // are none, and what was begun and is paused, end as Failed (Busy).
  std::vector<Unbegun> hand_back();

  Load load() const { return {running_count_, waiting_count_, paused_count_, wait_seconds_}; }  // safe from any thread
  const Counts& counts() const { return counts_; }
  const PrefixCache& cache() const { return cache_; }
  // Throws base::Error (Internal) unless all pages are accounted for. For tests, between steps.
  void check() const;

 private:
  using List = std::vector<std::unique_ptr<Running>>;

  // In the order in which they were asked for, also where one was preempted.
  static void insert(List& list, std::unique_ptr<Running> running) {
    const auto place =
        std::ranges::upper_bound(list, running->order, {}, [](const auto& other) { return other->order; });
    list.insert(place, std::move(running));
  }

  void take_arrivals();
  // worker_turns.cpp
  template <typename Wanted>
  static List take_if(List& list, Wanted wanted);
  void end_all(List list, Finish finish, const std::optional<base::Error>& error = {});
  void end_cancelled();
  void end_late();
  void pause_and_resume();
  static bool nobody_wants(const PromptSlice& slice);
  void admit();
  void begin(std::unique_ptr<Running> next);
  std::vector<Running*> fair_order() const;
  bool make_way_for(const Running& next, std::size_t pages, std::size_t free_pages);
  std::unordered_map<std::uint32_t, std::size_t> running_of_clients() const;
  Running* youngest_of_most() const;
  void report_places();
  void count();
  void close_thinking();

  Step plan();
  bool make_room(const Step& step);
  void preempt(const Running* one);
  void begin_slice(const Step& step);

  std::vector<Running*> writers_of(const Step& step) const;
  void write(const Step& step, std::span<Running* const> writers);
  void read(const Step& step, Clock::time_point step_began);
  bool time_is_over(const Step& step, std::uint32_t done, Clock::time_point step_began, Clock::time_point began) const;
  bool look_up();
  void finish_slice();
  PromptSlice& slice() const { return *slices_[0]; }
  PromptSlice* slice_of(const Running& running) const;  // that it has a part in; null if there is none
  void drop(PromptSlice& slice);
  void drop_slices();
  void keep(const PromptSlice::Gone& gone);
  void draw(std::span<Running* const> who, compute::View logits);
  void fail(std::span<Running* const> who, const std::exception& failure);
  void give_up(const std::exception& failure);

  static std::unique_ptr<Running> take_out(List& list, const Running* running);
  void end(std::unique_ptr<Running> running, Finish finish, std::optional<base::Error> error = {});
  static std::size_t needed_pages(const Running& running);
  std::size_t held_pages() const;
  Budget budget() const;

  LoadedModel& loaded_;
  smollm3::PagePool& pool_;
  std::size_t context_;
  Inbox& inbox_;
  Options options_;
  PrefixCache cache_;
  StepCost cost_;
  smollm3::Pass writing_;
  FairShare fair_share_;
  // The slice that is taken on, and one that it has overtaken.
  std::array<std::unique_ptr<PromptSlice>, 2> slices_;
  WaitEstimate wait_estimate_;
  List waiting_, running_, paused_;  // all in the order in which they were asked for
  std::uint64_t arrived_ = 0;
  bool begins_ = true;
  std::atomic<std::uint32_t> running_count_{0};
  std::atomic<std::uint32_t> waiting_count_{0};
  std::atomic<std::uint32_t> paused_count_{0};
  std::atomic<std::uint32_t> wait_seconds_{0};
  Clock::time_point last_report_{};  // from within a step
  Counts counts_;
};

}  // namespace engine
