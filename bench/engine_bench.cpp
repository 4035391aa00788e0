// What the engine itself costs, beside the model: planning a step, finding and keeping pages, writing and reading a
// journal.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/journal.h"
#include "engine/prefix_cache.h"
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

// 256 requests of 16 clients that wait.
void order_256(benchmark::State& state) {
  std::vector<engine::Candidate> waiting;
  for (std::uint32_t i = 0; i < 256; ++i)
    waiting.push_back({.client = i % 16, .served = 100.0 * (i % 16), .cost = i * 1.0});
  for (auto _ : state) benchmark::DoNotOptimize(engine::Scheduler::order(waiting));
}

// A cache that holds 4,000 conversations of 12 pages, of which 5 are the same: what a page costs that is found, and one
// that is taken note of.
class Cache {
 public:
  static constexpr std::size_t conversations = 4000, tokens = 12 * 64, alike = 5 * 64 + 20;

  Cache() : pool_(*device_, shape, (8 * conversations + 5000) * 64, 1ULL << 32), cache_(pool_, true) {
    for (std::uint32_t i = 0; i < conversations; ++i) insert(transcript(i));
  }

  static engine::Transcript transcript(std::uint32_t seed) {
    engine::Transcript transcript;
    for (std::uint32_t i = 0; i < tokens; ++i) {
      const std::uint32_t random = (i + (i < alike ? 0 : seed * 7919)) * 2654435761u;
      transcript.append(static_cast<engine::Token>(random >> 15), false);
    }
    return transcript;
  }
  smollm3::Sequence find(const engine::Transcript& transcript) { return cache_.find(transcript); }
  void insert(const engine::Transcript& transcript) {
    smollm3::Sequence sequence = cache_.find(transcript);
    while (!sequence.reserve(tokens - sequence.length())) cache_.evict();
    sequence.advance(tokens - sequence.length());
    cache_.insert(sequence, transcript, /*tail=*/true);
  }

 private:
  static constexpr compute::KvShape shape{.layers = 1, .kv_heads = 1, .head_size = 16};
  std::unique_ptr<compute::Device> device_ = compute::make_cpu_device(1);
  smollm3::PagePool pool_;
  engine::PrefixCache cache_;
};

void find_12_pages(benchmark::State& state) {
  Cache cache;
  std::vector<engine::Transcript> asked;
  for (std::uint32_t i = 0; i < 64; ++i) asked.push_back(Cache::transcript(i * 61));
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(cache.find(asked[i++ % asked.size()]));
}

// Of one that is new: 5 pages are found, one is copied, 7 are inserted, and in time as many are given back.
void insert_7_pages(benchmark::State& state) {
  Cache cache;
  std::uint32_t seed = Cache::conversations;
  for (auto _ : state) {
    state.PauseTiming();
    const engine::Transcript transcript = Cache::transcript(++seed);
    state.ResumeTiming();
    cache.insert(transcript);
  }
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
BENCHMARK(order_256)->Unit(benchmark::kMicrosecond);
BENCHMARK(find_12_pages)->Unit(benchmark::kMicrosecond);
BENCHMARK(insert_7_pages)->Unit(benchmark::kMicrosecond);
BENCHMARK(learn)->Unit(benchmark::kMicrosecond);
BENCHMARK(journal_event)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
