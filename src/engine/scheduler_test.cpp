// The scheduler as pure code: invented devices, whose batches take the time that a formula says, and an invented clock.
#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace engine {
namespace {

using compute::Precision;
using Rows = std::map<std::size_t, std::size_t>;

constexpr std::uint32_t layers = 36;

Runnable reads(std::size_t unread, std::size_t computed = 0, Precision precision = Precision::Exact) {
  return {.computed = computed, .unread = unread, .run = std::min<std::size_t>(unread, 512), .precision = precision};
}

Runnable writes(std::size_t computed) { return {.computed = computed, .unread = 1, .run = 1, .writing = true}; }

Rows rows_of(const std::vector<Share>& shares) {
  Rows rows;
  for (const Share& share : shares) rows[share.runnable] += share.rows;
  EXPECT_EQ(rows.size(), shares.size()) << "somebody has two shares";
  return rows;
}

// A machine that takes `row` seconds for a row, and so on.
struct Machine {
  double batch = 0.06, row = 0.002, position = 1e-7;

  double seconds(const BatchWork& work) const {
    return work.rows == 0 ? 0 : batch + row * static_cast<double>(work.rows) + position * work.positions;
  }
  double seconds(const Step& step) const {
    return seconds(step.writers_work) + seconds(step.slice_work) * step.layers / layers;
  }
};

StepCost learnt(const Machine& machine) {
  StepCost cost;
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    BatchWork few, many;
    for (std::size_t w = 1 + random() % 20; w > 0; --w) few.add(1, random() % 3000);
    many.add(16 + random() % 496, random() % 3000);
    cost.writing.learn(few, machine.seconds(few));
    cost.reading.learn(many, machine.seconds(many));
  }
  return cost;
}

TEST(Scheduler, GivesPromptsThatAreAloneAllRowsAndAllLayers) {
  const std::vector<Runnable> one = {reads(2000)};
  const Step step = Scheduler::plan(one, {}, {}, {});
  EXPECT_EQ(rows_of(step.slice), (Rows{{0, 512}}));
  EXPECT_EQ(step.layers, layers);
  const std::vector<Runnable> shorter = {reads(100)};
  EXPECT_EQ(rows_of(Scheduler::plan(shorter, {}, {}, {}).slice), (Rows{{0, 100}}));
  EXPECT_TRUE(Scheduler::plan({}, {}, {}, {}).empty());
}

TEST(Scheduler, GivesHalfToTheOldestAndHalfToThoseSoonestDone) {
  const std::vector<Runnable> running = {reads(5000), reads(2000), reads(60)};
  EXPECT_EQ(rows_of(Scheduler::plan(running, {}, {}, {}).slice), (Rows{{0, 256}, {1, 196}, {2, 60}}));
  const std::vector<Runnable> many = {reads(100), reads(100), reads(100), reads(100), reads(100), reads(100)};
  EXPECT_EQ(rows_of(Scheduler::plan(many, {}, {}, {}).slice),
            (Rows{{0, 100}, {1, 100}, {2, 100}, {3, 100}, {4, 100}, {5, 12}}));
}

TEST(Scheduler, PutsOnlyOnePrecisionIntoASlice) {
  const std::vector<Runnable> running = {reads(100, 0, Precision::Fast), reads(100, 0, Precision::Exact),
                                         reads(100, 0, Precision::Fast)};
  EXPECT_EQ(rows_of(Scheduler::plan(running, {}, {}, {}).slice), (Rows{{0, 100}, {2, 100}}));
}

TEST(Scheduler, LetsNobodyWhoWritesWait) {
  std::vector<Runnable> running;
  for (std::size_t i = 0; i < 30; ++i) running.push_back(i % 3 == 0 ? reads(1000) : writes(100 + i));
  const Rows rows = rows_of(Scheduler::plan(running, {}, {}, learnt({})).writers);
  EXPECT_EQ(rows.size(), 20u);
  for (const auto& [i, count] : rows) EXPECT_TRUE(running[i].writing && count == 1) << i;
}

TEST(Scheduler, KeepsToTheTimeAndUsesItWhilePromptsAreReadBesideWriters) {
  // With AMX, without, and a machine on which a layer of 512 rows takes longer than a step.
  for (const Machine machine : {Machine{}, Machine{.row = 0.009}, Machine{.row = 0.02}}) {
    SCOPED_TRACE(machine.row);
    const StepCost cost = learnt(machine);
    std::vector<Runnable> running = {writes(500), writes(600), writes(700), writes(800), reads(3000)};
    std::optional<Slice> slice;
    double reading = 0, all = 0;
    for (int steps = 0; running.back().unread > 0; ++steps) {
      ASSERT_LT(steps, 10'000);
      const Step step = Scheduler::plan(running, slice, {}, cost);
      const bool least = step.layers * step.slice_work.rows <= (8 + step.slice_work.rows / layers + 1) * layers;
      EXPECT_TRUE(machine.seconds(step) <= 0.25 || least) << machine.seconds(step);
      all += machine.seconds(step);
      reading += machine.seconds(step.slice_work) * step.layers / layers;
      if (!slice) slice = Slice{step.slice_work, layers};
      slice->layers_left -= step.layers;
      if (slice->layers_left > 0) continue;
      running.back() = reads(running.back().unread - slice->work.rows, running.back().computed + slice->work.rows);
      slice.reset();
    }
    EXPECT_GT(reading / all, 0.4) << "time is left that the prompt could use";
  }
}

TEST(Scheduler, APromptGetsSomethingHoweverManyWrite) {
  std::vector<Runnable> running(200, writes(3000));
  running.push_back(reads(2000));
  const Budget budget{.least_prompt_rows = 8};
  const Step step = Scheduler::plan(running, {}, budget, learnt({}));
  EXPECT_GE(rows_of(step.slice)[200] * step.layers, 8 * layers);
}

TEST(Scheduler, DeepRowsTakeTurns) {
  const Machine machine{.position = 5e-6};
  const StepCost cost = learnt(machine);
  std::vector<Runnable> running = {writes(100), writes(40000), writes(50000), writes(60000)};
  std::vector<int> served(running.size());
  for (int i = 0; i < 40; ++i) {
    const Step step = Scheduler::plan(running, {}, {}, cost);
    EXPECT_LE(step.writers.size(), 2u);
    for (Runnable& one : running) ++one.sat_out;
    for (const Share& share : step.writers) {
      ++served[share.runnable];
      running[share.runnable].sat_out = 0;
    }
  }
  EXPECT_EQ(served[0], 40);
  for (const int count : {served[1], served[2], served[3]}) EXPECT_GE(count, 4);
}

TEST(Scheduler, OrdersThoseThatWaitByWhatTheirClientsWereGiven) {
  const auto order = [](const std::vector<Candidate>& waiting) { return Scheduler::order(waiting); };
  using Order = std::vector<std::size_t>;
  EXPECT_EQ(order({}), Order{});
  EXPECT_EQ(order({{.client = 1}, {.client = 1}, {.client = 1}}), (Order{0, 1, 2}));
  EXPECT_EQ(order({{1, 0, 10}, {1, 0, 10}, {1, 0, 10}, {2, 0, 10}, {2, 0, 10}}), (Order{0, 3, 1, 4, 2}))
      << "in turns, where both had as much";
  EXPECT_EQ(order({{1, 500, 10}, {2, 0, 10}, {2, 0, 10}}), (Order{1, 2, 0})) << "first the one that had less";
  EXPECT_EQ(order({{1, 0, 100}, {1, 0, 100}, {2, 0, 30}, {2, 0, 30}, {2, 0, 30}, {2, 0, 30}, {2, 0, 30}}),
            (Order{0, 2, 3, 4, 5, 1, 6}))
      << "by tokens, not by requests";
}

Runnable of_client(std::uint32_t client, Runnable one) {
  one.client = client;
  return one;
}

TEST(Scheduler, FillsASliceWithPromptsOfTheClientThatWasGivenLeast) {
  std::vector<Runnable> running(15, of_client(1, reads(1000)));
  running.push_back(of_client(2, reads(1000)));
  const auto plan = [&](const std::optional<Slice>& slice, bool may_overtake) {
    return Scheduler::plan(running, slice, {.may_overtake = may_overtake}, {});
  };
  EXPECT_EQ(rows_of(plan({}, false).slice), (Rows{{0, 512}})) << "of two that were given as much, who came first";
  for (std::size_t i = 0; i < 15; ++i) running[i].served = 1;
  EXPECT_EQ(rows_of(plan({}, false).slice), (Rows{{0, 128}, {15, 384}})) << "and something for the oldest of all";
  running.back().unread = running.back().run = 100;
  EXPECT_EQ(rows_of(plan({}, false).slice), (Rows{{0, 412}, {15, 100}})) << "what one does not need the other gets";
  running.back().served = 2000;
  EXPECT_EQ(rows_of(plan({}, false).slice), (Rows{{0, 512}}));

  // Another one's slice is on its way.
  running[0].in_slice = true;
  const Slice slice{{}, 20};
  EXPECT_FALSE(plan(slice, true).overtakes) << "it was given more";
  for (std::size_t i = 0; i < 15; ++i) running[i].served = 2000;
  const Step step = plan(slice, true);
  EXPECT_TRUE(step.overtakes);
  EXPECT_EQ(rows_of(step.slice), (Rows{{15, 100}}));
  EXPECT_EQ(step.layers, layers);
  EXPECT_FALSE(plan(slice, false).overtakes);
  EXPECT_EQ(plan(slice, false).layers, 20u);
  running.back().client = 1;
  EXPECT_FALSE(plan(slice, true).overtakes) << "it is of the same client";
}

// One prompt of a client beside so many rows of another one: seconds until it is read, if nothing else comes. Each
// row's longest wait, in steps, goes to `longest_out`.
double seconds_beside(std::size_t rows, const Machine& machine, std::uint64_t& longest_out) {
  const StepCost cost = learnt(machine);
  std::vector<Runnable> running(rows, of_client(1, writes(600)));
  running.push_back(of_client(2, reads(512)));
  std::optional<Slice> slice;
  double all = 0;
  longest_out = 0;
  for (int steps = 0; steps < 1000; ++steps) {
    const Step step = Scheduler::plan(running, slice, {}, cost);
    all += machine.seconds(step);
    for (std::size_t i = 0; i < rows; ++i) longest_out = std::max(longest_out, ++running[i].sat_out);
    for (const Share& share : step.writers) running[share.runnable].sat_out = 0;
    if (!slice) slice = Slice{step.slice_work, layers};
    slice->layers_left -= step.layers;
    if (slice->layers_left > 0) continue;
    running.back() = of_client(2, reads(running.back().unread - slice->work.rows, 1));
    if (running.back().unread == 0) return all;
    slice.reset();
  }
  ADD_FAILURE() << "it is never read";
  return all;
}

TEST(Scheduler, APromptBesideManyRowsOfAnotherClientTakesAtMostTwiceAsLongAsBesideOne) {
  // The times of a real machine without AMX, and of one whose rows cost more.
  for (const Machine machine : {Machine{.batch = 0.11, .row = 0.006}, Machine{.batch = 0.06, .row = 0.012}}) {
    std::uint64_t out = 0;
    const double beside_one = seconds_beside(1, machine, out);
    EXPECT_LE(seconds_beside(15, machine, out), 2 * beside_one);
    EXPECT_LE(out, 4u) << "they take turns";
  }
}

// Thousands of steps of an invented device, with arrivals at random: what must hold in each, and that all come to an
// end.
TEST(Scheduler, RandomLoadsKeepEveryPromise) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const Machine machine{.row = seed % 2 == 0 ? 0.002 : 0.009};
    const Budget budget{.least_prompt_rows = seed % 2 == 0 ? 32u : 8u};
    struct Asker {
      Runnable runnable;
      std::size_t id;
      int to_write;
    };
    // A slice on its way: who, and rows.
    struct Reading {
      Slice slice;
      std::vector<std::pair<std::size_t, std::size_t>> parts;
    };
    std::vector<Asker> askers;
    StepCost cost;
    std::vector<Reading> readings;  // the last one is taken on, the others were overtaken
    double served[3] = {};
    std::size_t too_long = 0, steps = 0, arrived = 0, overtaken = 0;
    for (; arrived < 150 || !askers.empty(); ++steps) {
      ASSERT_LT(steps, 50'000u) << "somebody never ends";
      if (arrived < 150 && random() % 4 == 0) {
        const std::size_t prompt = random() % 5 == 0 ? 1 + random() % 6000 : 1 + random() % 300;
        const Runnable coming = of_client(static_cast<std::uint32_t>(random() % 3), reads(prompt));
        askers.push_back({coming, arrived++, 1 + static_cast<int>(random() % 100)});
      }
      const auto find = [&](std::size_t id) -> Asker& { return *std::ranges::find(askers, id, &Asker::id); };
      std::vector<Runnable> running;
      for (const Asker& asker : askers) {
        running.push_back(asker.runnable);
        running.back().served = served[asker.runnable.client];
        running.back().in_slice = std::ranges::any_of(readings, [&](const Reading& reading) {
          return std::ranges::any_of(reading.parts, [&](const auto& part) { return part.first == asker.id; });
        });
      }
      Budget now = budget;
      now.may_overtake = readings.size() < 2;
      const std::optional<Slice> slice = readings.empty() ? std::nullopt : std::optional(readings.back().slice);
      const Step step = Scheduler::plan(running, slice, now, cost);
      ASSERT_EQ(step.empty(), running.empty());
      ASSERT_LE(step.writers_work.rows, budget.rows);
      ASSERT_LE(step.slice_work.rows, budget.rows);
      ASSERT_TRUE(step.slice.empty() || !slice || step.overtakes) << "a slice is on its way";
      ASSERT_LE(step.layers, slice && !step.overtakes ? slice->layers_left : layers);
      for (const Share& share : step.slice) {
        ASSERT_FALSE(running[share.runnable].writing || running[share.runnable].in_slice);
      }

      cost.writing.learn(step.writers_work, machine.seconds(step.writers_work));
      cost.reading.learn(step.slice_work, machine.seconds(step.slice_work));
      const bool more_than_least = step.layers * step.slice_work.rows > 2 * budget.least_prompt_rows * layers;
      if (!step.writers.empty() && steps > 50 && more_than_least && machine.seconds(step) > 0.3) ++too_long;

      if (!step.slice.empty()) {
        overtaken += step.overtakes ? 1 : 0;
        readings.push_back({Slice{step.slice_work, layers}, {}});
        for (const Share& share : step.slice) {
          readings.back().parts.emplace_back(askers[share.runnable].id, share.rows);
          served[running[share.runnable].client] += static_cast<double>(share.rows);
        }
      }
      const auto compute = [&](Asker& asker, std::size_t rows) {
        Runnable& one = asker.runnable;
        ASSERT_LE(rows, one.unread);
        if (one.unread > rows) {
          one = of_client(one.client, reads(one.unread - rows, one.computed + rows));
        } else {
          one = of_client(one.client, writes(one.computed + rows));
          served[one.client] += 2;
          --asker.to_write;
        }
      };
      for (const Share& share : step.writers) compute(askers[share.runnable], share.rows);
      if (!readings.empty() && (readings.back().slice.layers_left -= step.layers) == 0) {
        const Reading done = readings.back();
        readings.pop_back();
        for (const auto& [id, rows] : done.parts) compute(find(id), rows);
      }
      std::erase_if(askers, [](const Asker& asker) { return asker.to_write <= 0; });
    }
    EXPECT_GT(overtaken, 0u);
    EXPECT_LE(too_long, steps / 100);
  }
}

}  // namespace
}  // namespace engine
