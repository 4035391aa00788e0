// The HTTP server: the web chat at /, the OpenAI-compatible API at /v1, and /health. One thread serves all connections,
// however many are open; the engine computes on threads of its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/engine_slot.h"
#include "store/store.h"

namespace server {

struct ServerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 3000;         // 0: any that is free
  std::vector<std::string> names{};  // further names this server is called by, as behind a proxy (see access.h)
  bool insecure = false;             // whoever comes is taken for the machine's own user
  std::size_t max_connections = 4096;
  bool resume = true;             // answers that were interrupted when the last server ended go on by themselves
  bool titles = true;             // the model writes them while nobody needs it
  std::chrono::seconds grace{3};  // answers under way have so long to end, once the server is to stop
  // A socket that listens (local_socket.h), for programs of this user; the server takes it over. -1: none.
  int local_socket = -1;
};

// One that is part of another program, for programs of this user alone: it listens nowhere but on its local_socket, and
// leaves signals to the program.
struct Embedded {};

class Server {
 public:
  // Binds. Throws base::Error if it cannot. `engines` and `store` must outlive the server.
  Server(EngineSlot& engines, store::Store& store, ServerOptions options = {});
  Server(EngineSlot& engines, store::Store& store, ServerOptions options, Embedded);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Where a browser finds it: "http://127.0.0.1:3000". Not of one that is embedded.
  std::string url() const;
  // Whether all who come have to sign in.
  bool needs_accounts() const;
  // Serves until stop(), SIGINT or SIGTERM. Answers under way then have their grace. Those of conversations that do not
  // end in it are left as they are, for the next server to go on with; those of the API are ended, and their clients
  // told. A second signal waits for nothing.
  void run();
  // Both are safe from any thread. connect(): the client's end of a connection as over the local socket, a descriptor
  // that is the caller's. Throws base::Error if there are no more descriptors.
  void stop();
  int connect();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace server
