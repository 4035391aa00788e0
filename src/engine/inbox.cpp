#include "engine/inbox.h"

#include <utility>

namespace engine {

void Inbox::put(Arrival arrival) {
  {
    const std::lock_guard lock(mutex_);
    arrivals_.push_back(std::move(arrival));
  }
  changed_.notify_one();
}

void Inbox::ring() {
  {
    const std::lock_guard lock(mutex_);
    rang_ = true;
  }
  changed_.notify_one();
}

void Inbox::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
}

std::size_t Inbox::size() const {
  const std::lock_guard lock(mutex_);
  return arrivals_.size();
}

std::vector<Arrival> Inbox::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(arrivals_, {});
}

void Inbox::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !arrivals_.empty() || rang_ || closed_; });
}

}  // namespace engine
