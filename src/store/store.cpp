#include "store/store.h"

#include <utility>

namespace store {

Store::Store(const std::string& where) : database_(where) {
  database_.be_the_only_server();
  thread_ = std::thread([this] { work(); });
}

Store::~Store() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Store::post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

void Store::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closed_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job(database_);
    lock.lock();
  }
}

}  // namespace store
