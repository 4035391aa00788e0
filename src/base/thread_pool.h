// A pool of threads for data-parallel phases: one caller hands out numbered parts and waits until all are done.
// Workers spin briefly after a phase, since the next usually follows within microseconds, and then sleep. The caller
// waits for those alone that came in: one that the system gives no processor meanwhile holds nobody up.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace base {

class ThreadPool {
 public:
  // `threads` counts the calling thread too: ThreadPool(1) starts none. Every thread of the pool, and the caller while
  // it works in run(), flushes denormals to zero, as docs/numerics.md requires.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(part, thread) once for every part in [0, parts), thread in [0, size()), and returns when all have
  // returned. Parts are handed out in order, to whichever thread is free. One run at a time; body must not throw.
  template <typename Body>
  void run(int parts, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run_parts(
        parts, [](void* context, int part, int thread) { (*static_cast<Plain*>(context))(part, thread); },
        const_cast<void*>(static_cast<const void*>(std::addressof(body))));
  }

 private:
  using Invoke = void (*)(void* context, int part, int thread);

  void run_parts(int parts, Invoke invoke, void* context);
  void work(int thread);
  bool enter();
  void end();
  void take_parts(int thread);

  std::vector<std::thread> workers_;
  Invoke invoke_ = nullptr;
  void* context_ = nullptr;
  int parts_ = 0;
  std::atomic<int> next_part_{0};
  std::atomic<std::uint32_t> phase_{0};  // counts phases; workers wait for it to change
  std::atomic<std::uint32_t> gate_{0};   // whether workers may come in, and how many are inside
  std::atomic<bool> stop_{false};
};

}  // namespace base
