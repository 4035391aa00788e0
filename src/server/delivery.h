// A value that another thread delivers once, to a coroutine that waits for it. Either may go first: whoever delivers to
// nobody has done nothing.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "server/exchange.h"

namespace server {

template <typename T>
class Delivery {
 public:
  // For whoever delivers; may be copied. Calls after the first are without effect.
  class Sender {
   public:
    void operator()(T value) const { state_->deliver(std::move(value)); }

   private:
    friend Delivery;
    struct State;
    explicit Sender(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
  };

  explicit Delivery(const boost::asio::any_io_executor& executor)
      : state_(std::make_shared<typename Sender::State>(executor)) {}
  ~Delivery() { state_->disconnect(); }
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  Sender sender() const { return Sender(state_); }
  // Throws system_error (operation_aborted) if the coroutine is cancelled before.
  Awaitable<T> wait() {
    while (!state_->arrived()) {
      state_->timer->expires_at(std::chrono::steady_clock::time_point::max());
      co_await state_->timer->async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
      if (!state_->woken) throw boost::system::system_error(boost::asio::error::operation_aborted);
    }
    co_return std::move(*state_->value);
  }

 private:
  std::shared_ptr<typename Sender::State> state_;
};

// What both sides touch; it outlives the coroutine and its executor's context, in the hands of whoever delivers.
template <typename T>
struct Delivery<T>::Sender::State : std::enable_shared_from_this<State> {
  explicit State(const boost::asio::any_io_executor& io) : timer(std::in_place, io), executor(io) {}

  // On any thread.
  void deliver(T given) {
    const std::lock_guard lock(mutex);
    if (!executor || value) return;
    value.emplace(std::move(given));
    boost::asio::post(*executor, [state = this->shared_from_this()] {
      state->woken = true;
      if (state->timer) state->timer->cancel();
    });
  }
  bool arrived() {
    const std::lock_guard lock(mutex);
    return value.has_value();
  }
  // From here on nothing is posted, so that the context may go.
  void disconnect() {
    timer.reset();
    const std::lock_guard lock(mutex);
    executor.reset();
    value.reset();
  }

  // For the executor's thread.
  std::optional<boost::asio::steady_timer> timer;
  bool woken = false;

  std::mutex mutex;                                      // of what follows
  std::optional<boost::asio::any_io_executor> executor;  // none once nobody waits any more
  std::optional<T> value;
};

}  // namespace server
