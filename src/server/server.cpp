#include "server/server.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <set>

#include "base/error.h"
#include "server/connection.h"
#include "server/log.h"
#include "server/routes.h"

namespace server {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using local = asio::local::stream_protocol;

namespace {

// Connections have so long to be told that what they wait for has ended.
constexpr auto farewell = std::chrono::seconds(3);

std::string bracketed(const std::string& host) { return host.find(':') == std::string::npos ? host : "[" + host + "]"; }

tcp::acceptor bind_to(asio::io_context& io, const ServerOptions& options) {
  const std::string where = bracketed(options.host) + ":" + std::to_string(options.port);
  error_code error;
  tcp::resolver resolver(io);
  const auto addresses = resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, error);
  if (error || addresses.empty()) {
    throw base::Error(options.host, "is no address of this machine (" + error.message() + ")",
                      "give --host 127.0.0.1, or 0.0.0.0 for every network");
  }
  tcp::acceptor acceptor(io);
  for (const auto& entry : addresses) {
    acceptor.close(error);
    acceptor.open(entry.endpoint().protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(entry.endpoint(), error);
    if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
    if (!error) return acceptor;
  }
  const std::string next = std::to_string(options.port < 65535 ? options.port + 1 : 3000);
  if (error == asio::error::address_in_use) {
    throw base::Error(base::ErrorKind::Resource, where, "another program uses this port",
                      "stop it, or give another port, as in --port " + next);
  }
  if (error == asio::error::access_denied) {
    throw base::Error(base::ErrorKind::Resource, where, "only the administrator may use this port",
                      "give one from 1024, as in --port 3000");
  }
  throw base::Error(base::ErrorKind::Resource, where, "cannot listen there: " + error.message(),
                    "give another --host or --port");
}

// Each connection is an open file; the usual limit of 1024 is meant for programs that use select().
void raise_open_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Peer introduce(tcp::socket& socket) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  return peer_of(socket);
}

// All programs of this user share their turns.
Peer own_user() { return {.client = "terminal", .own_user = true}; }

Peer introduce(const local::socket&) { return own_user(); }

}  // namespace

struct Server::State {
  State(EngineSlot& its_engines, store::Store& store, ServerOptions its_options, bool is_embedded)
      : embedded(is_embedded),
        options(std::move(its_options)),
        engines(its_engines),
        routes(engines, store, AccessRules(options.host, options.names, options.insecure)),
        acceptor(embedded ? tcp::acceptor(io) : bind_to(io, options)),
        local_acceptor(io),
        signals(io),
        deadline(io),
        rules(std::make_shared<ConnectionRules>()) {
    rules->handler = [this](Exchange& exchange) { return routes.handle(exchange); };
    rules->error_page = [](const Request& request, const ApiError& error) { return Routes::error(request, error); };
    rules->waits = Routes::waits;
    rules->headers = Routes::headers();
    if (options.local_socket >= 0) local_acceptor.assign(local(), options.local_socket);
  }

  template <typename Acceptor>
  Awaitable<void> accept(Acceptor& acceptor);
  Awaitable<void> serve(Connection::Socket socket, Peer peer);
  void wait_for_signal();
  void begin_stop();
  Awaitable<void> stop_in_order();

  bool embedded;
  ServerOptions options;
  EngineSlot& engines;
  Routes routes;
  asio::io_context io{1};  // goes before what its coroutines use
  tcp::acceptor acceptor;  // not open: it is embedded
  local::acceptor local_acceptor;
  asio::signal_set signals;
  asio::steady_timer deadline;
  std::shared_ptr<ConnectionRules> rules;
  std::set<Connection*> connections;
  asio::cancellation_signal no_more_housekeeping;
  bool stopping = false;
  bool hurry = false;  // no grace
  bool over = false;   // nothing is waited for any more
};

Awaitable<void> Server::State::serve(Connection::Socket socket, Peer peer) {
  Connection connection(std::move(socket), std::move(peer), rules);
  connections.insert(&connection);
  co_await connection.run();  // throws nothing
  connections.erase(&connection);
  if (stopping && connections.empty()) deadline.cancel();
}

template <typename Acceptor>
Awaitable<void> Server::State::accept(Acceptor& listening) {
  while (!stopping) {
    auto [error, socket] = co_await listening.async_accept(asio::as_tuple(asio::use_awaitable));
    if (stopping) break;
    if (error && error != asio::error::connection_aborted) {  // out of descriptors or memory, which may pass
      asio::steady_timer pause(io, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    } else if (!error && connections.size() >= options.max_connections) {
      static constexpr std::string_view full =
          "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
      error_code ignored;
      socket.non_blocking(true, ignored);
      socket.write_some(asio::buffer(full.data(), full.size()), ignored);
    } else if (!error) {
      Peer peer = introduce(socket);
      asio::co_spawn(io, serve(std::move(socket), std::move(peer)), asio::detached);
    }
  }
}

void Server::State::wait_for_signal() {
  signals.async_wait([this](const error_code& error, int) {
    if (error) return;
    if (stopping) {
      hurry = true;
      for (Connection* connection : connections) connection->close();
    } else {
      log_info("stopping");
      begin_stop();
    }
    if (!over) wait_for_signal();
  });
}

void Server::State::begin_stop() {
  if (stopping) return;
  stopping = true;
  rules->serving = false;
  error_code ignored;
  acceptor.close(ignored);
  local_acceptor.close(ignored);
  for (Connection* connection : connections) connection->close_if_idle();
  asio::co_spawn(io, stop_in_order(), asio::detached);
}

Awaitable<void> Server::State::stop_in_order() {
  asio::steady_timer timer(io);
  const auto until = std::chrono::steady_clock::now() + options.grace;
  const auto busy = [this] {
    const engine::Load load = engines.load();
    return load.running + load.waiting > 0;
  };
  while (busy() && !hurry && std::chrono::steady_clock::now() < until) {
    timer.expires_after(std::chrono::milliseconds(20));
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  co_await routes.let_go();
  no_more_housekeeping.emit(asio::cancellation_type::terminal);
  engines.stop();  // whoever reads an answer of the API hears of its end
  deadline.expires_after(connections.empty() ? std::chrono::seconds(0) : farewell);
  deadline.async_wait([this](const error_code&) {
    for (Connection* connection : connections) connection->close();
    // A signal may have come already whose handler is still to be called: it must not wait for another.
    over = true;
    error_code quiet;
    signals.cancel(quiet);
  });
}

Server::Server(EngineSlot& engines, store::Store& store, ServerOptions options)
    : state_(std::make_unique<State>(engines, store, std::move(options), /*is_embedded=*/false)) {
  // One that comes from now on is looked at when it runs.
  state_->signals.add(SIGINT);
  state_->signals.add(SIGTERM);
}

Server::Server(EngineSlot& engines, store::Store& store, ServerOptions options, Embedded)
    : state_(std::make_unique<State>(engines, store, std::move(options), /*is_embedded=*/true)) {}

Server::~Server() = default;

std::string Server::url() const {
  const tcp::endpoint bound = state_->acceptor.local_endpoint();
  const std::string host = bound.address().is_unspecified() ? "localhost" : bracketed(state_->options.host);
  return "http://" + host + ":" + std::to_string(bound.port());
}

bool Server::needs_accounts() const {
  const ServerOptions& options = state_->options;
  return AccessRules(options.host, options.names, options.insecure).need_accounts();
}

void Server::run() {
  raise_open_file_limit();
  if (!state_->embedded) {
    state_->wait_for_signal();
    asio::co_spawn(state_->io, state_->accept(state_->acceptor), asio::detached);
  }
  if (state_->local_acceptor.is_open()) {
    asio::co_spawn(state_->io, state_->accept(state_->local_acceptor), asio::detached);
  }
  asio::co_spawn(state_->io, state_->routes.work(state_->options.resume), asio::detached);
  asio::co_spawn(state_->io, state_->routes.keep_house(state_->options.titles),
                 asio::bind_cancellation_slot(state_->no_more_housekeeping.slot(), [](const std::exception_ptr&) {}));
  state_->io.run();
  state_->signals.clear();
}

void Server::stop() {
  asio::post(state_->io, [state = state_.get()] { state->begin_stop(); });
}

int Server::connect() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw base::Error(base::ErrorKind::Resource, "server", std::strerror(errno), "close other programs");
  }
  asio::post(state_->io, [state = state_.get(), end = ends[0]] {
    local::socket socket(state->io, local(), end);
    asio::co_spawn(state->io, state->serve(std::move(socket), own_user()), asio::detached);
  });
  return ends[1];
}

}  // namespace server
