// The scheduler as pure code: invented devices, whose steps take the time that a formula says, and an invented clock.
#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

namespace engine {
namespace {

using compute::Precision;

Runnable reads(std::size_t unread, std::size_t computed = 0, Precision precision = Precision::Exact) {
  return {.computed = computed, .unread = unread, .run = unread, .precision = precision};
}

Runnable writes(std::size_t computed) { return {.computed = computed, .unread = 1, .run = 1, .writing = true}; }

std::map<std::size_t, std::size_t> rows_of(const Step& step) {
  std::map<std::size_t, std::size_t> rows;
  for (const Share& share : step.shares) rows[share.runnable] += share.rows;
  EXPECT_EQ(rows.size(), step.shares.size()) << "somebody has two shares";
  return rows;
}

double true_seconds(const StepWork& work) {
  const auto of = [](const StepWork::Batch& batch, double row) {
    return batch.rows == 0 ? 0 : 0.06 + row * static_cast<double>(batch.rows) + 5e-6 * batch.positions;
  };
  return of(work.exact, 0.008) + of(work.fast, 0.003);
}

// A cost that has been learnt from the device above.
StepCost learnt() {
  StepCost cost;
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    StepWork work;
    for (std::size_t w = random() % 6; w > 0; --w) work.add(Precision::Exact, 1, random() % 3000);
    work.add(Precision::Exact, random() % 60, random() % 3000);
    if (random() % 2 == 0) work.add(Precision::Fast, 1 + random() % 100, random() % 3000);
    cost.learn(work, true_seconds(work));
  }
  return cost;
}

TEST(Scheduler, GivesAPromptThatIsAloneAllRows) {
  Scheduler scheduler;
  const std::vector<Runnable> running = {reads(2000)};
  EXPECT_EQ(rows_of(scheduler.plan(running, {}, {})), (std::map<std::size_t, std::size_t>{{0, 512}}));
  const std::vector<Runnable> shorter = {reads(100)};
  EXPECT_EQ(rows_of(scheduler.plan(shorter, {}, {})), (std::map<std::size_t, std::size_t>{{0, 100}}));
  EXPECT_TRUE(scheduler.plan({}, {}, {}).shares.empty());
}

TEST(Scheduler, GivesHalfToTheOldestAndHalfToTheOneThatIsSoonestDone) {
  Scheduler scheduler;
  const std::vector<Runnable> running = {reads(5000), reads(2000), reads(60)};
  EXPECT_EQ(rows_of(scheduler.plan(running, {}, {})),
            (std::map<std::size_t, std::size_t>{{0, 256}, {1, 196}, {2, 60}}));
}

TEST(Scheduler, LetsNobodyWhoWritesWait) {
  Scheduler scheduler;
  std::vector<Runnable> running;
  for (std::size_t i = 0; i < 30; ++i) running.push_back(i % 3 == 0 ? reads(1000) : writes(100 + i));
  const auto rows = rows_of(scheduler.plan(running, {}, learnt()));
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (running[i].writing) {
      EXPECT_EQ(rows.count(i), 1u) << i;
    }
  }
}

TEST(Scheduler, KeepsToTheTimeWhilePromptsAreReadBesideWriters) {
  for (const bool two_modes : {false, true}) {
    Scheduler scheduler;
    const Budget budget{.two_modes = two_modes, .least_prompt_rows = 8};
    const StepCost cost = learnt();
    std::size_t most = 0;
    for (int i = 0; i < 20; ++i) {
      const std::vector<Runnable> running = {writes(500), writes(600), writes(700), writes(800),
                                             reads(2000, 0, two_modes ? Precision::Fast : Precision::Exact)};
      const Step step = scheduler.plan(running, budget, cost);
      EXPECT_LE(true_seconds(step.work), budget.seconds) << i;
      most = std::max(most, rows_of(step)[4]);
      EXPECT_LE(rows_of(step)[4], std::max<std::size_t>(8, 2 * most));
    }
    EXPECT_GE(most, two_modes ? 16u : 8u);
    EXPECT_GT(true_seconds(scheduler.plan(std::vector<Runnable>{writes(1), reads(2000)}, budget, cost).work),
              budget.seconds * 0.6)
        << "time is left that a prompt could use";
  }
}

TEST(Scheduler, APromptGetsSomethingHoweverManyWrite) {
  Scheduler scheduler;
  std::vector<Runnable> running(60, writes(3000));
  running.push_back(reads(2000));
  const Step step = scheduler.plan(running, {.least_prompt_rows = 8}, learnt());
  EXPECT_EQ(rows_of(step)[60], 8u);
}

TEST(Scheduler, DeepRowsTakeTurns) {
  Scheduler scheduler;
  StepCost cost = learnt();
  std::vector<Runnable> running = {writes(100), writes(40000), writes(50000), writes(60000)};
  std::vector<int> served(running.size());
  for (int i = 0; i < 40; ++i) {
    const Step step = scheduler.plan(running, {}, cost);
    EXPECT_LT(true_seconds(step.work), 0.06 + 0.032 + 5e-6 * 150100) << "all together";
    for (Runnable& one : running) ++one.sat_out;
    for (const Share& share : step.shares) {
      ++served[share.runnable];
      running[share.runnable].sat_out = 0;
    }
  }
  EXPECT_EQ(served[0], 40);
  for (const int count : {served[1], served[2], served[3]}) EXPECT_GE(count, 4);
}

TEST(Scheduler, AdmitsInOrderWhileThereIsMemory) {
  const std::vector<Candidate> waiting = {{3}, {5}, {1}, {1}};
  EXPECT_EQ(Scheduler::admit(waiting, 0, {.free_pages = 100}), 4u);
  EXPECT_EQ(Scheduler::admit(waiting, 0, {.free_pages = 8}), 2u);
  EXPECT_EQ(Scheduler::admit(waiting, 0, {.free_pages = 7}), 1u)
      << "a small one must not overtake a large one for ever";
  EXPECT_EQ(Scheduler::admit(waiting, 0, {.free_pages = 2}), 0u);
  EXPECT_EQ(Scheduler::admit(waiting, 255, {.free_pages = 100}), 1u);
}

// Thousands of steps of an invented device, with arrivals at random: what must hold in each, and that all come to an
// end.
TEST(Scheduler, RandomLoadsKeepEveryPromise) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const bool two_modes = seed % 2 == 0;
    const Budget budget{.two_modes = two_modes, .least_prompt_rows = two_modes ? 32u : 8u};
    struct Asker {
      Runnable runnable;
      int to_write;
      double asked;
      std::size_t prompt;
    };
    std::vector<Asker> askers;
    Scheduler scheduler;
    StepCost cost;
    double now = 0;
    int too_long = 0, steps = 0;
    for (int arrivals = 0; arrivals < 150 || !askers.empty(); ++steps) {
      ASSERT_LT(steps, 50'000) << "somebody never ends";
      if (arrivals < 150 && random() % 4 == 0) {
        ++arrivals;
        const std::size_t prompt = random() % 5 == 0 ? 1 + random() % 6000 : 1 + random() % 300;
        askers.push_back({reads(prompt, 0, two_modes ? Precision::Fast : Precision::Exact),
                          1 + static_cast<int>(random() % 100), now, prompt});
      }
      std::vector<Runnable> running;
      for (const Asker& asker : askers) running.push_back(asker.runnable);
      const Step step = scheduler.plan(running, budget, cost);
      ASSERT_EQ(step.shares.empty(), running.empty());
      ASSERT_LE(step.work.exact.rows, budget.rows);
      ASSERT_LE(step.work.fast.rows, two_modes ? budget.rows : 0u);
      bool somebody_writes = false;
      for (const auto& [i, rows] : rows_of(step)) {
        ASSERT_GT(rows, 0u);
        ASSERT_LE(rows, running[i].unread);
        somebody_writes |= running[i].writing;
      }
      const double seconds = true_seconds(step.work);
      now += seconds;
      cost.learn(step.work, seconds);
      std::size_t prompt_rows = 0;
      for (const Share& share : step.shares) prompt_rows += running[share.runnable].writing ? 0 : share.rows;
      if (somebody_writes && steps > 50 && prompt_rows > budget.least_prompt_rows && seconds > 0.3) ++too_long;
      for (const Share& share : step.shares) {
        Asker& asker = askers[share.runnable];
        Runnable& one = asker.runnable;
        one.computed += share.rows;
        one.unread -= share.rows;
        one.run = one.unread;
        if (one.unread > 0) continue;
        one = writes(one.computed);
        --asker.to_write;
      }
      std::erase_if(askers, [](const Asker& asker) { return asker.to_write <= 0; });
    }
    EXPECT_LE(too_long, steps / 100);
  }
}

}  // namespace
}  // namespace engine
