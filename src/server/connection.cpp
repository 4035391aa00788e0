#include "server/connection.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <optional>

#include "base/error.h"
#include "server/http_text.h"
#include "server/log.h"

namespace server {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using boost::system::system_error;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

std::string text_of(beast::string_view text) { return {text.data(), text.size()}; }

// The path as it is logged: a conversation's id opens it, so no more of it than tells conversations apart.
std::string loggable(const std::string& path) {
  std::string shown;
  for (const char c : path.substr(0, 200)) shown += c > ' ' && c < 127 ? c : '?';
  if (shown.starts_with("/c/") && shown.size() > 11) {
    const std::size_t end = std::min(shown.find('/', 3), shown.size());
    if (end > 11) shown.replace(11, end - 11, "…");
  }
  return shown;
}

}  // namespace

struct Connection::State : Exchange {
  State(asio::ip::tcp::socket socket, std::shared_ptr<const ConnectionRules> its_rules)
      : stream(std::move(socket)), rules(std::move(its_rules)), buffer(rules->limits.header_bytes + 64 * 1024) {}

  // Exchange
  const Request& request() const override { return current; }
  asio::any_io_executor executor() const override { return const_cast<beast::tcp_stream&>(stream).get_executor(); }
  bool serving() const override { return rules->serving; }
  Awaitable<void> respond(Response response) override;
  Awaitable<void> begin_stream(Headers headers) override;
  Awaitable<void> send(std::string piece) override;

  Awaitable<bool> read_request();
  Awaitable<void> handle();
  Awaitable<void> call_handler();
  Awaitable<void> watch_for_leaving();
  Awaitable<void> refuse(unsigned status, std::string message);
  void take_head(const http::request<http::string_body>& message);
  void add_common_headers(http::fields& fields, const Headers& headers) const;
  void account(const error_code& error, std::size_t bytes);
  void log() const;

  beast::tcp_stream stream;
  std::shared_ptr<const ConnectionRules> rules;
  beast::flat_buffer buffer;
  Request current;
  unsigned version = 11;
  bool keep_alive = false;
  bool idle = true;
  bool closing = false;

  bool responded = false;  // the response's head was sent
  bool streaming = false;
  unsigned status = 0;
  std::size_t sent = 0;
  Clock::time_point began;
  std::exception_ptr failure;
};

void Connection::State::add_common_headers(http::fields& fields, const Headers& headers) const {
  for (const auto& [name, value] : rules->headers) fields.set(name, value);
  for (const auto& [name, value] : headers) fields.set(name, value);
}

void Connection::State::account(const error_code& error, std::size_t bytes) {
  sent += bytes;
  if (error) throw system_error(error);
}

Awaitable<void> Connection::State::respond(Response response) {
  if (response.close || !rules->serving) keep_alive = false;
  http::response<http::string_body> message{static_cast<http::status>(response.status), version};
  add_common_headers(message, response.headers);
  if (!response.content_type.empty()) message.set(http::field::content_type, response.content_type);
  message.keep_alive(keep_alive);
  const bool bodiless = current.method == "HEAD" || response.status == 304 || response.status == 204;
  if (response.status != 304 && response.status != 204) message.content_length(response.body.size());
  if (!bodiless) message.body() = std::move(response.body);

  responded = true;
  status = response.status;
  http::response_serializer<http::string_body> serializer{message};
  stream.expires_after(rules->limits.write_time);
  if (bodiless) {
    auto [error, bytes] = co_await http::async_write_header(stream, serializer, as_result);
    account(error, bytes);
  } else {
    auto [error, bytes] = co_await http::async_write(stream, serializer, as_result);
    account(error, bytes);
  }
}

Awaitable<void> Connection::State::begin_stream(Headers headers) {
  http::response<http::empty_body> message{http::status::ok, version};
  add_common_headers(message, headers);
  message.set(http::field::content_type, "text/event-stream; charset=utf-8");
  message.set(http::field::cache_control, "no-store");
  message.set("X-Accel-Buffering", "no");  // a proxy in front must not hold words back
  streaming = true;
  responded = true;
  status = 200;
  if (!rules->serving) keep_alive = false;
  if (version < 11) keep_alive = false;  // HTTP/1.0 knows no chunks: the end of the connection ends the stream
  message.keep_alive(keep_alive);
  message.chunked(version >= 11);
  http::response_serializer<http::empty_body> serializer{message};
  stream.expires_after(rules->limits.write_time);
  auto [error, bytes] = co_await http::async_write_header(stream, serializer, as_result);
  account(error, bytes);
}

Awaitable<void> Connection::State::send(std::string piece) {
  if (piece.empty()) co_return;
  stream.expires_after(rules->limits.write_time);
  if (version >= 11) {
    auto [error, bytes] = co_await asio::async_write(stream, http::make_chunk(asio::buffer(piece)), as_result);
    account(error, bytes);
  } else {
    auto [error, bytes] = co_await asio::async_write(stream, asio::buffer(piece), as_result);
    account(error, bytes);
  }
}

void Connection::State::take_head(const http::request<http::string_body>& message) {
  current = Request{};
  current.method = text_of(message.method_string());
  const std::string target = text_of(message.target());
  const std::size_t question = std::min(target.find('?'), target.size());
  // An undecodable path is no path of ours.
  current.path = percent_decode(target.substr(0, question)).value_or("");
  current.query = question < target.size() ? target.substr(question + 1) : "";
  current.host = text_of(message[http::field::host]);
  current.origin = text_of(message[http::field::origin]);
  current.fetch_site = text_of(message["Sec-Fetch-Site"]);
  current.fetch_mode = text_of(message["Sec-Fetch-Mode"]);
  current.content_type = text_of(message[http::field::content_type]);
  current.if_none_match = text_of(message[http::field::if_none_match]);
  version = message.version();
}

Awaitable<void> Connection::State::refuse(unsigned code, std::string message) {
  Response response = rules->error_page(current, code, message);
  response.close = true;
  co_await respond(std::move(response));
}

// False if there is none to handle: the client left, or its request was refused here.
Awaitable<bool> Connection::State::read_request() {
  http::request_parser<http::string_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(rules->limits.header_bytes));
  parser.body_limit(rules->limits.body_bytes);
  responded = streaming = false;
  status = 0;
  sent = 0;
  keep_alive = false;
  current = Request{};

  // The next request's first byte may take its time, the rest of its header may not.
  idle = true;
  if (buffer.size() == 0) {
    stream.expires_after(rules->limits.idle_time);
    auto [error, bytes] = co_await stream.async_read_some(buffer.prepare(4096), as_result);
    if (error) co_return false;
    buffer.commit(bytes);
  }
  idle = false;
  began = Clock::now();
  stream.expires_after(rules->limits.header_time);
  auto [head_error, head_bytes] = co_await http::async_read_header(stream, buffer, parser, as_result);
  if (!head_error) {
    take_head(parser.get());
    stream.expires_after(rules->limits.body_time);
    if (text_of(parser.get()[http::field::expect]) == "100-continue") {
      const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await asio::async_write(stream, asio::buffer(go_on), as_result);
    }
    auto [body_error, body_bytes] = co_await http::async_read(stream, buffer, parser, as_result);
    if (!body_error) {
      keep_alive = parser.get().keep_alive();
      current.body = std::move(parser.get().body());
      co_return true;
    }
    head_error = body_error;
  }
  if (head_error == http::error::body_limit) {
    co_await refuse(413, "the request's body is larger than " + std::to_string(rules->limits.body_bytes >> 10) + " KiB");
  } else if (head_error == http::error::header_limit) {
    co_await refuse(431, "the request's header is larger than " + std::to_string(rules->limits.header_bytes >> 10) + " KiB");
  } else if (head_error.category() == http::make_error_code(http::error::bad_target).category() &&
             head_error != http::error::end_of_stream && head_error != http::error::partial_message) {
    co_await refuse(400, "this is not a valid HTTP request: " + head_error.message());
  } else {
    co_return false;  // the client left, or was too slow: there is nobody to tell
  }
  log();
  // The client may still be sending; closing at once would reset the connection before it has read the refusal.
  error_code ignored;
  stream.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  stream.expires_after(std::chrono::seconds(2));
  for (std::size_t drained = 0; drained < (std::size_t{8} << 20);) {
    buffer.clear();
    auto [error, bytes] = co_await stream.async_read_some(buffer.prepare(16384), as_result);
    if (error) break;
    drained += bytes;
  }
  co_return false;
}

// Returns when the client closed its side. What it sends meanwhile (the next request, pipelined) is kept, up to a bound.
Awaitable<void> Connection::State::watch_for_leaving() {
  while (buffer.size() < rules->limits.header_bytes) {
    // The socket itself, not the stream: the stream's timeout is for its writes.
    auto [error, bytes] = co_await stream.socket().async_read_some(buffer.prepare(4096), as_result);
    buffer.commit(bytes);
    if (error) co_return;
  }
  asio::steady_timer forever(stream.get_executor(), Clock::time_point::max());
  co_await forever.async_wait(as_result);
}

Awaitable<void> Connection::State::call_handler() {
  try {
    co_await rules->handler(*this);
  } catch (...) {
    failure = std::current_exception();
  }
}

Awaitable<void> Connection::State::handle() {
  failure = nullptr;
  if (rules->waits(current)) {
    using namespace asio::experimental::awaitable_operators;
    const auto first = co_await (call_handler() || watch_for_leaving());
    if (first.index() == 1) failure = std::make_exception_ptr(system_error(asio::error::connection_reset));
  } else {
    co_await call_handler();
  }
  std::optional<Response> apology;
  if (failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const system_error&) {
      closing = true;  // the client is gone
      co_return;
    } catch (const base::Error& error) {
      log_error(fmt::format("{} {}: {}", current.method, loggable(current.path), error.what()));
      apology = rules->error_page(current, 500, error.what());
    } catch (const std::exception& error) {
      log_error(fmt::format("{} {}: {}", current.method, loggable(current.path), error.what()));
      apology = rules->error_page(current, 500, "the server made a mistake; its log says more");
    }
  }
  if (streaming && version >= 11 && !failure) {
    stream.expires_after(rules->limits.write_time);
    auto [error, bytes] = co_await asio::async_write(stream, http::make_chunk_last(), as_result);
    if (error) closing = true;
  } else if (apology && !responded) {
    co_await respond(std::move(*apology));
  } else if (failure) {
    closing = true;
  }
}

void Connection::State::log() const {
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
  const std::string outcome = status == 0 ? std::string("left") : std::to_string(status);
  log_info(fmt::format("{} {} {} {} B {} ms{}", current.method.empty() ? "-" : current.method, loggable(current.path), outcome, sent,
               took.count(), closing && status != 0 ? " (client left)" : ""));
}

Connection::Connection(asio::ip::tcp::socket socket, std::shared_ptr<const ConnectionRules> rules)
    : state_(std::make_unique<State>(std::move(socket), std::move(rules))) {}

Connection::~Connection() = default;

Awaitable<void> Connection::run() {
  State& state = *state_;
  error_code ignored;
  state.stream.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  try {
    while (!state.closing && state.rules->serving) {
      const bool got_request = co_await state.read_request();
      if (!got_request) break;
      co_await state.handle();
      state.log();
      if (!state.keep_alive) break;
    }
  } catch (const system_error&) {
    // The client is gone; nothing to tell it.
  }
  state.stream.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  state.stream.close();
}

void Connection::close_if_idle() {
  if (state_->idle) close();
}

void Connection::close() {
  state_->closing = true;
  state_->stream.cancel();
  error_code ignored;
  state_->stream.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
}

}  // namespace server
