// For tests: the server's routes without sockets. A Site answers requests on an event loop that the test turns itself.
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "server/engine_slot.h"
#include "server/exchange.h"
#include "server/routes.h"
#include "store/store.h"
#include "store/test_place.h"

namespace server {

class FakeExchange : public Exchange {
 public:
  FakeExchange(boost::asio::any_io_executor executor, Request request)
      : executor_(std::move(executor)), request_(std::move(request)) {}

  const Request& request() const override { return request_; }
  std::string take_body() override { return std::exchange(request_.body, {}); }
  boost::asio::any_io_executor executor() const override { return executor_; }
  Awaitable<void> respond(Response given) override {
    fail_if_left();
    response = std::move(given);
    co_return;
  }
  Awaitable<void> begin_stream() override {
    fail_if_left();
    streaming = true;
    co_return;
  }
  Awaitable<void> send(std::string piece) override {
    fail_if_left();
    ++pieces;
    sent += piece;
    co_return;
  }

  // The client closes its connection, which Connection notices while the handler waits.
  void leave() {
    left = true;
    cancel.emit(boost::asio::cancellation_type::terminal);
  }

  std::string header(const std::string& name) const {
    for (const auto& [one, value] : response->headers) {
      if (one == name) return value;
    }
    return {};
  }

  std::optional<Response> response;
  bool streaming = false;
  std::string sent;
  std::size_t pieces = 0;
  bool left = false;
  bool over = false;  // the handler has returned
  boost::asio::cancellation_signal cancel;

 private:
  void fail_if_left() const {
    if (left) throw boost::system::system_error(boost::asio::error::connection_reset);
  }

  boost::asio::any_io_executor executor_;
  Request request_;
};

class Site {
 public:
  using Asked = std::shared_ptr<FakeExchange>;

  explicit Site(EngineSlot::Factory factory)
      : engines(std::move(factory)), routes(engines, store, AccessRules("localhost", {})) {
    work();
  }
  // As a server that starts where another has ended.
  Site(EngineSlot::Factory factory, const std::string& where, bool resume = true)
      : engines(std::move(factory)), store(where), routes(engines, store, AccessRules("localhost", {})) {
    work(resume);
  }

  Asked ask(Request request) {
    request.host = "localhost";
    const bool from_store = request.path == "/" || request.path == "/temporary" || request.path == "/search" ||
                            request.path.starts_with("/c/") || request.path.starts_with("/t/");
    const Asked asked = call(std::move(request), [this](FakeExchange& exchange) { return routes.handle(exchange); });
    if (from_store) until([&] { return asked->over || asked->streaming; });
    return asked;
  }
  // Has another handler than the routes' answer.
  Asked call(Request request, const std::function<Awaitable<void>(FakeExchange&)>& handler) {
    auto exchange = std::make_shared<FakeExchange>(io.get_executor(), std::move(request));
    boost::asio::co_spawn(
        io, handler(*exchange),
        boost::asio::bind_cancellation_slot(exchange->cancel.slot(), [exchange](const std::exception_ptr& failure) {
          exchange->over = true;
          if (!failure || exchange->left) return;
          try {
            std::rethrow_exception(failure);
          } catch (const std::exception& error) {
            exchange->response = Routes::error(exchange->request(), told_to_client(error));
          }
        }));
    io.restart();
    io.poll();
    return exchange;
  }
  Asked get(std::string path, std::string last_event_id = {}) {
    return ask({.method = "GET", .path = std::move(path), .last_event_id = std::move(last_event_id)});
  }
  Asked post(std::string path, std::string body) {
    return ask({.method = "POST", .path = std::move(path), .body = std::move(body)});
  }

  // Turns the event loop until something holds.
  template <typename Condition>
  void until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(5);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("it did not come about in minutes");
      io.restart();
      io.run_for(std::chrono::milliseconds(2));
    }
  }
  void until_over(const Asked& asked) {
    until([&] { return asked->over; });
  }
  // Until the engine has nothing to do.
  void until_idle() {
    until([&] {
      const engine::Load load = engines.load();
      return load.running + load.waiting == 0;
    });
  }

  EngineSlot engines;
  store::TestPlace place;  // where none is given
  store::Store store{place.where()};
  Routes routes;
  boost::asio::io_context io{1};  // goes first, with the handlers that it holds

 private:
  void work(bool resume = true) {
    boost::asio::co_spawn(io, routes.work(resume), boost::asio::detached);
    io.poll();
  }
};

}  // namespace server
