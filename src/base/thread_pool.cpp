#include "base/thread_pool.h"

#include <string>
#include <system_error>

#include "base/error.h"
#include "base/processor.h"

namespace base {
namespace {

// About 20 to 50 microseconds: longer than the gap between two kernels, shorter than a time slice.
constexpr int spin_rounds = 4000;

// gate_: this bit while a phase may be entered, and below it the number of workers inside.
constexpr std::uint32_t open = 1U << 31;

// Waits until `value` differs from `old`: spinning first, then asleep.
template <typename T>
void wait_for_change(std::atomic<T>& value, T old) {
  for (int i = 0; i < spin_rounds; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    relax();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error& error) {
    const std::size_t started = workers_.size() + 1;
    end();
    throw Error(ErrorKind::Resource, "threads",
                std::to_string(threads) + " cannot be started (" + error.code().message() + ")",
                "give --threads " + std::to_string(started) + " or fewer");
  }
}

ThreadPool::~ThreadPool() { end(); }

void ThreadPool::end() {
  stop_.store(true);
  phase_.fetch_add(1);
  phase_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::take_parts(int thread) {
  for (int part = next_part_.fetch_add(1, std::memory_order_relaxed); part < parts_;
       part = next_part_.fetch_add(1, std::memory_order_relaxed)) {
    invoke_(context_, part, thread);
  }
}

// Whoever comes in sees the phase's fields, since they were written before the gate was opened; they stay as they are
// until it has left, since the caller waits for that. It may be a later phase than the one it woke for.
bool ThreadPool::enter() {
  std::uint32_t gate = gate_.load(std::memory_order_relaxed);
  while ((gate & open) != 0) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire, std::memory_order_relaxed)) return true;
  }
  return false;
}

void ThreadPool::work(int thread) {
  const FlushDenormals flush;
  for (std::uint32_t seen = 0;;) {
    wait_for_change(phase_, seen);
    seen = phase_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    if (!enter()) continue;  // too late: the others have done it all
    take_parts(thread);
    if (gate_.fetch_sub(1, std::memory_order_acq_rel) == 1) gate_.notify_one();
  }
}

void ThreadPool::run_parts(int parts, Invoke invoke, void* context) {
  const FlushDenormals flush;
  if (workers_.empty() || parts <= 1) {
    for (int part = 0; part < parts; ++part) invoke(context, part, 0);
    return;
  }
  invoke_ = invoke;
  context_ = context;
  parts_ = parts;
  next_part_.store(0, std::memory_order_relaxed);
  gate_.store(open, std::memory_order_release);  // nobody is inside
  phase_.fetch_add(1, std::memory_order_release);
  phase_.notify_all();
  take_parts(0);
  gate_.fetch_and(~open, std::memory_order_relaxed);
  for (std::uint32_t inside = gate_.load(std::memory_order_acquire); inside != 0;
       inside = gate_.load(std::memory_order_acquire)) {
    wait_for_change(gate_, inside);
  }
}

}  // namespace base
