#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
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

// Stops a thread in a signal handler, as the system does that gives it no processor.
std::atomic<bool> held{false};
std::atomic<bool> released{false};
void hold(int) {
  held = true;
  while (!released) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(ThreadPool, DoesWithoutAThreadThatGetsNoProcessor) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer holds signals back";
#endif
  ThreadPool pool(2);
  std::atomic<pthread_t> worker{};
  for (std::atomic<bool> known{false}; !known;) {
    pool.run(2, [&](int, int thread) {
      if (thread == 1) {
        worker = pthread_self();
        known = true;
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  struct sigaction action {};
  action.sa_handler = hold;
  sigaction(SIGUSR1, &action, nullptr);
  pthread_kill(worker, SIGUSR1);
  while (!held) std::this_thread::sleep_for(std::chrono::milliseconds(1));

  std::atomic<bool> over{false};
  bool hung = false;
  std::thread watchdog([&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!over && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    hung = !over;
    released = true;
  });
  int parts = 0;
  for (int phase = 0; phase < 100; ++phase) {
    pool.run(4, [&](int, int thread) { parts += thread == 0 ? 1 : 1000; });
  }
  over = true;
  watchdog.join();
  EXPECT_FALSE(hung);
  EXPECT_EQ(parts, 400);
}

TEST(ThreadPool, HasNothingToDoForNoParts) {
  ThreadPool pool(2);
  pool.run(0, [](int, int) { FAIL(); });
}

}  // namespace
}  // namespace base
