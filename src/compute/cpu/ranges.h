// Shares numbered units of work among the threads of a pool so that each goes through neighbouring ones in order, which
// lets it ask memory for the next while it works on one; whoever is done early takes units from the others' ranges.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "base/thread_pool.h"

namespace compute::cpu {

class Ranges {
 public:
  explicit Ranges(base::ThreadPool& pool) : pool_(pool), ranges_(static_cast<std::size_t>(pool.size())) {}

  // Calls body(unit, thread) once for every unit in [0, units); body must not throw.
  template <typename Body>
  void run(std::size_t units, const Body& body) {
    const std::size_t count = ranges_.size();
    for (std::size_t i = 0; i < count; ++i) {
      ranges_[i].next.store(units * i / count, std::memory_order_relaxed);
      ranges_[i].end = units * (i + 1) / count;
    }
    pool_.run(static_cast<int>(units < count ? units : count), [&](int part, int thread) {
      for (std::size_t i = 0; i < count; ++i) {
        Range& range = ranges_[(static_cast<std::size_t>(part) + i) % count];
        for (std::size_t unit = range.take(); unit < range.end; unit = range.take()) body(unit, thread);
      }
    });
  }

 private:
  struct alignas(64) Range {
    std::atomic<std::size_t> next{0};
    std::size_t end = 0;

    std::size_t take() { return next.fetch_add(1, std::memory_order_relaxed); }
  };

  base::ThreadPool& pool_;
  std::vector<Range> ranges_;
};

}  // namespace compute::cpu
