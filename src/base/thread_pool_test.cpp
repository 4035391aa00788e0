#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace base {
namespace {

// Many phases of few and many parts, more threads than processors: each part runs once, and the caller sees what it
// did.
TEST(ThreadPool, RunsEveryPartOnceInEveryPhase) {
  ThreadPool pool(8);
  std::vector<int> runs(40);
  for (int phase = 1; phase <= 3000; ++phase) {
    const int parts = phase % 40 + 1;
    std::fill(runs.begin(), runs.end(), 0);
    pool.run(parts, [&](int part, int thread) {
      ASSERT_LT(thread, 8);
      ++runs[static_cast<std::size_t>(part)];
    });
    for (int part = 0; part < 40; ++part) ASSERT_EQ(runs[static_cast<std::size_t>(part)], part < parts ? 1 : 0);
  }
}

// The caller leaves with all parts done, not when a worker at last finds out that there was something to do.
TEST(ThreadPool, WaitsForThePartsInWork) {
  ThreadPool pool(3);
  for (int phase = 0; phase < 20; ++phase) {
    std::atomic<int> finished{0};
    pool.run(3, [&](int, int) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      ++finished;
    });
    ASSERT_EQ(finished.load(), 3);
  }
}

TEST(ThreadPool, HasNothingToDoForNoParts) {
  ThreadPool pool(2);
  pool.run(0, [](int, int) { FAIL(); });
}

}  // namespace
}  // namespace base
