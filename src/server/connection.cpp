#include "server/connection.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <utility>

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

using Parser = http::request_parser<http::string_body>;
using Stream = beast::basic_stream<asio::generic::stream_protocol>;

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

std::string text_of(beast::string_view text) { return {text.data(), text.size()}; }

// The path as it is logged: a conversation's id opens it, so no more of it than tells conversations apart.
std::string loggable(const std::string& path) {
  std::string shown;
  for (const char c : path.substr(0, 200)) shown += c > ' ' && c < 127 ? c : '?';
  for (const std::string_view before : {"/c/", "/t/", "/local/c/"}) {
    if (!shown.starts_with(before)) continue;
    const std::size_t end = std::min(shown.find('/', before.size()), shown.size());
    const std::size_t part = before.size() + 8;
    if (end > part) shown.replace(part, end - part, "…");
  }
  return shown;
}

// Of IPv6 the network alone, of which a client may have as many addresses as it likes.
std::string client_of(asio::ip::address address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  if (address.is_v4() || address.is_loopback()) return address.to_string();
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return asio::ip::make_address_v6(bytes).to_string() + "/64";
}

// Whom the last proxy had the request from, which it adds to what others say; none if it does not tell.
std::optional<asio::ip::address> forwarded_for(const http::request<http::string_body>& message) {
  std::string last;
  const auto [begin, end] = message.equal_range("X-Forwarded-For");
  for (auto field = begin; field != end; ++field) last = text_of(field->value());
  last.erase(0, last.rfind(',') == std::string::npos ? 0 : last.rfind(',') + 1);
  last.erase(0, std::min(last.find_first_not_of(' '), last.size()));
  last.erase(last.find_last_not_of(' ') + 1);
  error_code error;
  const asio::ip::address address = asio::ip::make_address(last, error);
  return error ? std::nullopt : std::optional(address);
}

}  // namespace

ByteBudget::Share ByteBudget::take(std::size_t bytes) {
  if (bytes > left_) return nullptr;
  left_ -= bytes;
  return Share(this, [this, bytes](void*) { left_ += bytes; });
}

struct Connection::State : Exchange {
  State(Socket socket, Peer its_peer, std::shared_ptr<const ConnectionRules> its_rules)
      : stream(std::move(socket)),
        peer(std::move(its_peer)),
        rules(std::move(its_rules)),
        buffer(rules->limits.header_bytes + 64 * 1024) {}

  // Exchange
  const Request& request() const override { return current; }
  std::string take_body() override { return std::exchange(current.body, {}); }
  asio::any_io_executor executor() const override { return const_cast<Stream&>(stream).get_executor(); }
  Awaitable<void> respond(Response response) override;
  Awaitable<void> begin_stream() override;
  Awaitable<void> send(std::string piece) override;

  Awaitable<bool> read_request();
  Awaitable<void> handle();
  Awaitable<void> call_handler();
  Awaitable<void> watch_for_leaving();
  Awaitable<void> refuse(unsigned status, std::string message);
  Awaitable<void> drain();
  bool has_room(const Parser& parser);
  void take_head(const http::request<http::string_body>& message);
  std::string head_text(http::response<http::empty_body>& message, const Headers& headers);
  Awaitable<void> write(std::string text);
  Awaitable<error_code> read(Parser& parser, bool header_only);
  void log() const;

  Stream stream;
  Peer peer;
  std::shared_ptr<const ConnectionRules> rules;
  beast::flat_buffer buffer;
  Request current;
  unsigned version = 11;
  bool keep_alive = false;
  ByteBudget::Share body_room;  // that the body, if it is not small, may take
  bool idle = true;
  bool closing = false;

  bool responded = false;  // the response's head was sent
  bool streaming = false;
  unsigned status = 0;
  std::size_t sent = 0;
  Clock::time_point began;
  std::exception_ptr failure;
};

// The status line and the headers, as they are sent.
std::string Connection::State::head_text(http::response<http::empty_body>& message, const Headers& headers) {
  for (const auto& [name, value] : rules->headers) message.set(name, value);
  for (const auto& [name, value] : headers) message.set(name, value);
  message.keep_alive(keep_alive);
  std::string text = fmt::format("HTTP/1.{} {} {}\r\n", version % 10, message.result_int(), text_of(message.reason()));
  for (const auto& field : message)
    text += fmt::format("{}: {}\r\n", text_of(field.name_string()), text_of(field.value()));
  responded = true;
  status = message.result_int();
  return text + "\r\n";
}

Awaitable<void> Connection::State::write(std::string text) {
  stream.expires_after(rules->limits.write_time);
  const auto [error, bytes] = co_await asio::async_write(stream, asio::buffer(text), as_result);
  sent += bytes;
  if (error) throw system_error(error);
}

Awaitable<void> Connection::State::respond(Response response) {
  if (response.close || !rules->serving) keep_alive = false;
  http::response<http::empty_body> message{static_cast<http::status>(response.status), version};
  const bool bodiless = response.status == 304 || response.status == 204;
  if (!response.content_type.empty()) message.set(http::field::content_type, response.content_type);
  if (!bodiless) message.content_length(response.body.size());
  std::string text = head_text(message, response.headers);
  if (!bodiless && current.method != "HEAD") text += response.body;
  co_await write(std::move(text));
}

Awaitable<void> Connection::State::begin_stream() {
  streaming = true;
  if (!rules->serving) keep_alive = false;
  if (version < 11) keep_alive = false;  // HTTP/1.0 knows no chunks: the end of the connection ends the stream
  http::response<http::empty_body> message{http::status::ok, version};
  message.set(http::field::content_type, "text/event-stream; charset=utf-8");
  message.set(http::field::cache_control, "no-store");
  message.set("X-Accel-Buffering", "no");  // a proxy in front must not hold words back
  message.chunked(version >= 11);
  std::string text = head_text(message, {});
  co_await write(std::move(text));
}

Awaitable<void> Connection::State::send(std::string piece) {
  if (piece.empty()) co_return;
  if (version >= 11) piece = fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
  co_await write(std::move(piece));
}

void Connection::State::take_head(const http::request<http::string_body>& message) {
  current = Request{};
  const auto origin = peer.may_forward ? forwarded_for(message) : std::nullopt;
  current.client = origin ? client_of(*origin) : peer.client;
  current.own_user = peer.own_user;
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
  current.last_event_id = text_of(message["Last-Event-ID"]);
  current.cookie = text_of(message["Cookie"]);
  current.authorization = text_of(message[http::field::authorization]);
  current.api_key = text_of(message["X-Api-Key"]);
  for (const char* header : {"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via"}) {
    current.forwarded = current.forwarded || message.find(header) != message.end();
  }
  version = message.version();
}

// Answers a request that reaches no handler, and leaves the client time to read that.
Awaitable<void> Connection::State::refuse(unsigned code, std::string message) {
  Response response = rules->error_page(current, ApiError(code, message));
  response.close = true;
  co_await respond(std::move(response));
  log();
  co_await drain();
}

// The client may still be sending; closing at once would reset the connection before it has read the refusal.
Awaitable<void> Connection::State::drain() {
  error_code ignored;
  stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
  stream.expires_after(std::chrono::seconds(2));
  for (std::size_t drained = 0; drained < (std::size_t{8} << 20);) {
    buffer.clear();
    const auto [left, bytes] = co_await stream.async_read_some(buffer.prepare(16384), as_result);
    if (left) break;
    drained += bytes;
  }
}

// Whether the body that the header announces may be taken in; one in chunks announces nothing and may be of any size.
bool Connection::State::has_room(const Parser& parser) {
  const std::uint64_t announced = parser.content_length().value_or(parser.chunked() ? rules->limits.body_bytes : 0);
  if (announced <= rules->limits.small_body_bytes) return true;
  body_room = rules->bodies->take(announced);
  return body_room != nullptr;
}

// Parses the header, or all of the request, reading on as needed.
Awaitable<error_code> Connection::State::read(Parser& parser, bool header_only) {
  while (header_only ? !parser.is_header_done() : !parser.is_done()) {
    if (buffer.size() > 0) {
      error_code error;
      buffer.consume(parser.put(buffer.data(), error));
      if (error && error != http::error::need_more) co_return error;
      if (!error) continue;
    }
    const std::size_t room = std::min<std::size_t>(buffer.max_size() - buffer.size(), 64 << 10);
    if (room == 0) co_return http::make_error_code(http::error::buffer_overflow);
    const auto [read_error, bytes] = co_await stream.async_read_some(buffer.prepare(room), as_result);
    if (read_error) co_return read_error;
    buffer.commit(bytes);
  }
  co_return error_code{};
}

// False if there is none to handle: the client left, or its request was refused here.
Awaitable<bool> Connection::State::read_request() {
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(rules->limits.header_bytes));
  parser.body_limit(rules->limits.body_bytes);
  responded = streaming = false;
  status = 0;
  sent = 0;
  keep_alive = false;
  current = Request{};
  body_room.reset();

  // The next request's first byte may take its time, the rest of its header may not.
  idle = true;
  if (buffer.size() == 0) {
    stream.expires_after(rules->limits.idle_time);
    const auto [error, bytes] = co_await stream.async_read_some(buffer.prepare(4096), as_result);
    if (error) co_return false;
    buffer.commit(bytes);
  }
  idle = false;
  began = Clock::now();
  stream.expires_after(rules->limits.header_time);
  error_code error = co_await read(parser, true);
  if (!error || error == http::error::body_limit) take_head(parser.get());  // too large as announced: the head is there
  if (!error && parser.get().count(http::field::transfer_encoding) > 0 && !parser.chunked()) {
    error = http::make_error_code(http::error::bad_transfer_encoding);  // where the body ends, nobody can tell
  }
  if (!error && !has_room(parser)) {
    co_await refuse(503, "too many large requests at once; try again later");
    co_return false;
  }
  if (!error) {
    if (version >= 11 && beast::iequals(parser.get()[http::field::expect], "100-continue") && !parser.is_done()) {
      std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await write(std::move(go_on));
      sent = 0;
    }
    stream.expires_after(rules->limits.body_time);
    error = co_await read(parser, false);
  }
  if (!error) {
    keep_alive = parser.get().keep_alive();
    current.body = std::move(parser.get().body());
    co_return true;
  }
  if (error == http::error::body_limit) {
    co_await refuse(413,
                    "the request's body is larger than " + std::to_string(rules->limits.body_bytes >> 10) + " KiB");
  } else if (error == http::error::header_limit) {
    co_await refuse(431,
                    "the request's header is larger than " + std::to_string(rules->limits.header_bytes >> 10) + " KiB");
  } else if (error.category() == http::make_error_code(http::error::bad_target).category() &&
             error != http::error::end_of_stream && error != http::error::partial_message) {
    co_await refuse(400, "this is not a valid HTTP request: " + error.message());
  }  // else the client left, or was too slow: there is nobody to tell
  co_return false;
}

// Returns when the client closed its side. What it sends meanwhile (the next request) is kept; who sends more than that
// cannot be heard leaving any more, and counts as gone.
Awaitable<void> Connection::State::watch_for_leaving() {
  while (buffer.size() < rules->limits.header_bytes) {
    // The socket itself, not the stream: the stream's timeout is for its writes.
    auto [error, bytes] = co_await stream.socket().async_read_some(buffer.prepare(4096), as_result);
    buffer.commit(bytes);
    if (error) co_return;
  }
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
    } catch (const std::exception& error) {
      if (belongs_into_log(error)) {
        log_error(fmt::format("{} {}: {}", current.method, loggable(current.path), error.what()));
      }
      apology = rules->error_page(current, told_to_client(error));
    }
  }
  if (streaming && version >= 11 && !failure) {
    std::string end = "0\r\n\r\n";
    co_await write(std::move(end));
  } else if (apology && !responded) {
    co_await respond(std::move(*apology));
  } else if (failure) {
    closing = true;
  }
}

void Connection::State::log() const {
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
  const std::string outcome = status == 0 ? std::string("left") : std::to_string(status);
  log_info(fmt::format("{} {} {} {} B {} ms{}", current.method.empty() ? "-" : current.method, loggable(current.path),
                       outcome, sent, took.count(), closing && status != 0 ? " (client left)" : ""));
}

Peer peer_of(const asio::ip::tcp::socket& socket) {
  error_code ignored;
  const asio::ip::address address = socket.remote_endpoint(ignored).address();
  return {.client = client_of(address), .may_forward = address.is_loopback()};
}

Connection::Connection(Socket socket, Peer peer, std::shared_ptr<const ConnectionRules> rules)
    : state_(std::make_unique<State>(std::move(socket), std::move(peer), std::move(rules))) {}

Connection::~Connection() = default;

Awaitable<void> Connection::run() {
  State& state = *state_;
  error_code ignored;
  try {
    while (!state.closing && state.rules->serving) {
      const bool got_request = co_await state.read_request();
      if (!got_request) break;
      try {
        co_await state.handle();
      } catch (const system_error&) {
        state.closing = true;
      }
      state.log();
      if (!state.keep_alive) break;
    }
  } catch (const system_error&) {
    // The client is gone; nothing to tell it.
  } catch (const std::exception& error) {
    log_error(fmt::format("a connection ended: {}", error.what()));
  }
  state.stream.socket().shutdown(asio::socket_base::shutdown_both, ignored);
  state.stream.close();
}

void Connection::close_if_idle() {
  if (state_->idle) close();
}

void Connection::close() {
  state_->closing = true;
  state_->stream.cancel();
  error_code ignored;
  state_->stream.socket().shutdown(asio::socket_base::shutdown_both, ignored);
}

}  // namespace server
