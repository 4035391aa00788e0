#include "server/password_checks.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "base/error.h"
#include "server/delivery.h"
#include "store/secrets.h"

namespace server {
namespace {

constexpr int most_waiting = 50;  // some seconds

}  // namespace

Awaitable<bool> PasswordChecks::matches(std::string hash, std::string password) {
  if (waiting_ >= most_waiting) {
    throw base::Error(base::ErrorKind::Busy, "sign-in", "too many sign in at once", "try again in a moment");
  }
  // None: it could not be checked.
  Delivery<std::optional<bool>> delivery(co_await boost::asio::this_coro::executor);
  auto check = [this, deliver = delivery.sender(), hash = std::move(hash), password = std::move(password)] {
    std::optional<bool> outcome;
    try {
      outcome = store::password_matches(hash, password);
    } catch (const std::exception&) {
      outcome = std::nullopt;
    }
    --waiting_;
    deliver(outcome);
  };
  ++waiting_;
  boost::asio::post(threads_, std::move(check));
  const std::optional<bool> outcome = co_await delivery.wait();
  if (!outcome) {
    throw base::Error(base::ErrorKind::Resource, "sign-in", "the server has not enough memory to check a password",
                      "try again later");
  }
  co_return *outcome;
}

}  // namespace server
