// The HTTP server: the web chat at /, the OpenAI-compatible API at /v1, and /health. One thread serves all connections,
// however many are open; the engine computes on threads of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/engine_slot.h"

namespace server {

struct ServerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 3000;       // 0: any that is free
  std::vector<std::string> names;  // further names this server is called by, as behind a proxy (see access.h)
  std::size_t max_connections = 4096;
};

class Server {
 public:
  // Binds. Throws base::Error if it cannot. `engines` must outlive the server.
  Server(EngineSlot& engines, ServerOptions options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Where a browser finds it: "http://127.0.0.1:3000".
  std::string url() const;
  // Serves until stop(), SIGINT or SIGTERM. Answers under way are then ended, and their clients told; a second signal
  // does not wait for that.
  void run();
  // Safe from any thread.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace server
