// The way to the worker's thread: requests to be begun, and the bell that calls its attention to what was asked of
// those that are under way.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

#include "engine/arrival.h"
#include "engine/generation.h"

namespace engine {

class Inbox : public Bell {
 public:
  // Safe from any thread.
  bool put(Arrival arrival);  // false if it takes nothing any more
  void ring() override;
  void close();              // takes nothing any more, and wakes the worker, which is to end
  void refuse();             // takes nothing any more
  std::size_t size() const;  // arrivals that were not taken yet

  // For the worker's thread.
  std::vector<Arrival> take();
  // Whether the bell rang since the last call.
  bool rang() { return rang_.exchange(false); }
  bool closed() const { return closed_; }
  // Until there is an arrival, the bell rings or the inbox is closed.
  void wait();

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Arrival> arrivals_;
  bool refuses_ = false;
  std::atomic<bool> rang_{false};
  std::atomic<bool> closed_{false};
};

}  // namespace engine
