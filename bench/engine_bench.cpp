// What the engine itself costs, beside the model: planning a step, and writing and reading a journal.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "engine/journal.h"
#include "engine/scheduler.h"

namespace {

// 250 write, six prompts of different lengths are read.
void plan_256(benchmark::State& state) {
  std::vector<engine::Runnable> running;
  for (std::size_t i = 0; i < 256; ++i) {
    if (i % 43 == 0) {
      const std::size_t unread = 100 + 300 * (i / 43);
      running.push_back(
          {.unread = unread, .run = std::min<std::size_t>(unread, 512), .precision = compute::Precision::Fast});
    } else {
      running.push_back({.computed = 20 * i, .unread = 1, .run = 1, .writing = true});
    }
  }
  const engine::StepCost cost;
  for (auto _ : state) benchmark::DoNotOptimize(engine::Scheduler::plan(running, {}, {}, cost));
}

void learn(benchmark::State& state) {
  engine::BatchCost cost;
  engine::BatchWork work;
  work.add(16, 1000);
  for (auto _ : state) cost.learn(work, 0.25);
}

// A token's text for a reader that reads each by itself.
void journal_event(benchmark::State& state) {
  const std::string text = " word";
  auto journal = std::make_unique<engine::Journal>();
  engine::Journal::Place place;
  int events = 0;
  for (auto _ : state) {
    if (++events % 100'000 == 0) {
      journal = std::make_unique<engine::Journal>();
      place = {};
    }
    journal->append(engine::Answer{text});
    place = journal->read(place).next;
  }
}

BENCHMARK(plan_256)->Unit(benchmark::kMicrosecond);
BENCHMARK(learn)->Unit(benchmark::kMicrosecond);
BENCHMARK(journal_event)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
