// Has something done on the store's thread, and waits for it as a coroutine.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/error.h"
#include "server/delivery.h"
#include "store/store.h"

namespace server {

// A failure as it goes from one thread to another: the exception itself is not shared between them.
struct StoreFailure {
  base::ErrorKind kind;
  std::string subject, why, remedy;
  bool conflict;

  static StoreFailure of(const std::exception& failure);
  [[noreturn]] void raise() const;  // store::Conflict or base::Error
};

// Runs work(Database&) there, in the order of calls, also if the coroutine is cancelled meanwhile. Returns what it
// returns (it must be movable), and throws what it throws, as base::Error or store::Conflict. Give it a lambda that has
// a name: GCC 12 destroys one with captures twice that is made within a co_await.
template <typename Work>
auto on_store(store::Store& store, Work work) -> Awaitable<std::invoke_result_t<Work, store::Database&>> {
  using Result = std::invoke_result_t<Work, store::Database&>;
  using Kept = std::conditional_t<std::is_void_v<Result>, std::monostate, Result>;
  using Outcome = std::variant<Kept, StoreFailure>;
  Delivery<Outcome> delivery(co_await boost::asio::this_coro::executor);
  const auto job = [deliver = delivery.sender(),
                    shared = std::make_shared<Work>(std::move(work))](store::Database& database) {
    try {
      if constexpr (std::is_void_v<Result>) {
        (*shared)(database);
        deliver(Outcome(std::in_place_index<0>));
      } else {
        deliver(Outcome(std::in_place_index<0>, (*shared)(database)));
      }
    } catch (const std::exception& failure) {
      deliver(Outcome(std::in_place_index<1>, StoreFailure::of(failure)));
    }
  };
  store.post(job);
  Outcome outcome = co_await delivery.wait();
  if (const auto* failure = std::get_if<1>(&outcome)) failure->raise();
  if constexpr (!std::is_void_v<Result>) co_return std::move(std::get<0>(outcome));
}

}  // namespace server
