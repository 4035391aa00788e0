// One HTTP request and the way to answer it, as the handlers see it. Connection (connection.h) implements this over a
// socket, so that handlers need to know nothing of Beast.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace server {

template <typename T>
using Awaitable = boost::asio::awaitable<T>;

struct Request {
  std::string method{};  // "GET", …
  std::string client{};  // the address it is from, or an IPv6 network's; as a proxy on this machine has it
  std::string path{};    // percent-decoded, without the query
  std::string query{};   // what follows the '?', as sent
  std::string host{};    // the headers the server decides by; empty if absent
  std::string origin{};
  std::string fetch_site{};  // Sec-Fetch-Site
  std::string fetch_mode{};  // Sec-Fetch-Mode
  std::string content_type{};
  std::string if_none_match{};
  std::string last_event_id{};
  std::string cookie{};
  std::string authorization{};
  std::string api_key{};   // X-Api-Key
  bool forwarded = false;  // it says that a proxy has passed it on
  bool own_user = false;   // it came by the socket that the server's own user alone can reach
  std::string body{};
};

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Response {
  unsigned status = 200;
  std::string content_type{};
  std::string body{};
  Headers headers{};
  bool close = false;  // the connection, after this
};

class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const Request& request() const = 0;
  // The request's body, which request() has no more after this.
  virtual std::string take_body() = 0;
  virtual boost::asio::any_io_executor executor() const = 0;

  // Each throws boost::system::system_error if the client is gone.
  virtual Awaitable<void> respond(Response response) = 0;
  // Instead of respond(): the head of an event stream, and then its pieces. Returning from the handler ends it.
  virtual Awaitable<void> begin_stream() = 0;
  virtual Awaitable<void> send(std::string piece) = 0;
};

}  // namespace server
