// Passwords are checked on threads of their own, two at most at once: each check takes a tenth of a second and 64 MiB.
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <string>

#include "server/exchange.h"

namespace server {

class PasswordChecks {
 public:
  // As store::password_matches. Throws base::Error: Busy if too many wait already, Resource if memory is short.
  Awaitable<bool> matches(std::string hash, std::string password);

 private:
  std::atomic<int> waiting_{0};
  boost::asio::thread_pool threads_{2};  // goes first: what runs there counts itself out
};

}  // namespace server
