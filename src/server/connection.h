// A client's connection: reads requests one after another, within bounds of size and time, has each answered by the
// handler, and writes the access log. A client that leaves while its answer is being made cancels the handler.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "server/api_error.h"
#include "server/exchange.h"

namespace server {

// What an error looks like depends on whom it is for; the handler's exceptions and the connection's own refusals
// (too large, malformed) both come out of here.
using ErrorPage = std::function<Response(const Request& request, const ApiError& error)>;
using Handler = std::function<Awaitable<void>(Exchange&)>;

struct ConnectionLimits {
  std::size_t header_bytes = 16 << 10;
  std::size_t body_bytes = 4 << 20;
  std::size_t small_body_bytes = 64 << 10;  // bodies up to here are not counted among `bodies_bytes`
  std::size_t bodies_bytes = 256 << 20;     // of all requests that are being read or answered
  std::chrono::seconds header_time{15};     // from a request's first byte to the end of its header
  std::chrono::seconds body_time{60};
  std::chrono::seconds idle_time{75};   // between requests
  std::chrono::seconds write_time{30};  // for a client to take what is sent
};

// Bytes that several holders may have together. For one thread.
class ByteBudget {
 public:
  explicit ByteBudget(std::size_t bytes) : left_(bytes) {}

  // Gives its bytes back when it is destroyed or replaced.
  using Share = std::unique_ptr<void, std::function<void(void*)>>;
  // Empty if there are not that many left. The budget must outlive it.
  Share take(std::size_t bytes);

 private:
  std::size_t left_;
};

struct ConnectionRules {
  ConnectionLimits limits;
  Handler handler;
  ErrorPage error_page;
  // Whether the handler of such a request waits for the engine, so that the client's leaving must be noticed.
  std::function<bool(const Request&)> waits;
  // Headers that every response carries.
  Headers headers;
  bool serving = true;  // false once the server is to stop
  std::shared_ptr<ByteBudget> bodies = std::make_shared<ByteBudget>(limits.bodies_bytes);
};

// Who is at the other end.
struct Peer {
  std::string client{};      // as of Request
  bool own_user = false;     // as of Request
  bool may_forward = false;  // it is on this machine, so that a proxy which says who sent it is believed
};
Peer peer_of(const boost::asio::ip::tcp::socket& socket);

class Connection {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;  // any other becomes one when it is moved here

  Connection(Socket socket, Peer peer, std::shared_ptr<const ConnectionRules> rules);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Awaitable<void> run();
  // Ends it if it is between requests; otherwise it ends after the request it is at.
  void close_if_idle();
  // Cancels what it is at.
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace server
