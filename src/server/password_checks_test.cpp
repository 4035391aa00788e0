#include "server/password_checks.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>

#include "base/error.h"
#include "store/secrets.h"

namespace server {
namespace {

TEST(PasswordChecking, RefusesWhenTooManyWait) {
  PasswordChecks checks;
  boost::asio::io_context io{1};
  std::optional<base::ErrorKind> refused;
  // Each takes far longer than asking for it does.
  for (int i = 0; i < 10'000 && !refused; ++i) {
    boost::asio::co_spawn(io, checks.matches(store::hash_of_no_password(), "x"),
                          [&](const std::exception_ptr& failure, bool) {
                            try {
                              if (failure) std::rethrow_exception(failure);
                            } catch (const base::Error& error) {
                              refused = error.kind();
                            }
                          });
    io.restart();
    io.poll();
  }
  EXPECT_EQ(refused, base::ErrorKind::Busy);
}

}  // namespace
}  // namespace server
