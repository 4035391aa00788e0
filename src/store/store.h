// The database's thread: whatever is asked of the database is done there, in the order in which it was asked, so that
// nobody who serves people waits for a disk.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "store/database.h"

namespace store {

class Store {
 public:
  // On the store's thread. Must not throw: what fails is told to whoever waits for it.
  using Job = std::function<void(Database&)>;

  // Opens the database on the calling thread, for this process alone: as Database and Database::be_the_only_server.
  explicit Store(const std::string& where);
  ~Store();  // when all that was asked is done
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Safe from any thread, and waits for nothing.
  void post(Job job);

 private:
  void work();

  Database database_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace store
