#include "engine/inbox.h"

#include <utility>

namespace engine {

bool Inbox::put(Arrival arrival) {
  {
    const std::lock_guard lock(mutex_);
    if (refuses_) return false;
    arrivals_.push_back(std::move(arrival));
  }
  changed_.notify_one();
  return true;
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
    closed_ = refuses_ = true;
  }
  changed_.notify_one();
}

void Inbox::refuse() {
  const std::lock_guard lock(mutex_);
  refuses_ = true;
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
