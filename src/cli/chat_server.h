// The server that `chat` talks to: the one that has its conversations already, `serve` or another `chat`, or else one
// in this process, which others find by its socket.
#pragma once

#include <memory>
#include <string>

#include "cli/command_line.h"
#include "server/local_client.h"

namespace cli {

class ChatServer {
 public:
  // `place`: as of store::Database. Throws base::Error if somebody else has its conversations and does not answer, or
  // answers with another model than was asked for by name; and what loading a model and opening the database throw.
  ChatServer(const Globals& globals, std::string place);
  ~ChatServer();  // leaves answers that have not ended to the next server, if it is in this process
  ChatServer(const ChatServer&) = delete;
  ChatServer& operator=(const ChatServer&) = delete;

  server::LocalClient& client() { return *client_; }
  const server::LocalModel& model() const { return model_; }
  // After the one that there was has ended (server::ServerGone): as the constructor.
  void find();

 private:
  struct Own;

  void use_running(const std::string& socket);
  void use_own(std::unique_ptr<Own> own);

  const Globals& globals_;
  std::string place_;
  std::unique_ptr<Own> own_;
  std::unique_ptr<server::LocalClient> client_;
  server::LocalModel model_;
};

}  // namespace cli
