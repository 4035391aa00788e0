// A client of a server's local socket (local_api.h): what the terminal has of conversations, from the server in its own
// process or another's. Blocks; for one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "server/answer_json.h"
#include "server/local_api.h"

namespace server {

// There is no server at the other end (any more), or it does not answer. Kind Resource.
struct ServerGone : base::Error {
  using Error::Error;
};

class LocalClient {
 public:
  // `connect`: makes a connection, a descriptor that becomes the client's; -1: there is no server.
  explicit LocalClient(std::function<int()> connect) : connect_(std::move(connect)) {}

  // All throw ServerGone, and ApiError for what the server refuses.

  LocalModel model();
  std::vector<LocalHead> list();
  LocalConversation read(const std::string& id);
  // The number of the answer, which has begun.
  std::int64_t send(const std::string& id, const Message& message);
  void steer(const std::string& id, const std::string& action);  // stop, pause, resume
  bool go_on(const std::string& id);                             // as Chat::go_on

  // An answer as it comes.
  class Stream {
   public:
    Stream(Stream&& other) noexcept;
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // What came next; none if nothing did for so long. Throws as above, ServerGone also where the stream ends before
    // its answer has.
    std::optional<AnswerUpdate> next(std::chrono::milliseconds patience);
    // Of what next() has returned: with it another stream goes on where this one is.
    const std::string& last_event_id() const;

   private:
    friend LocalClient;
    struct State;
    explicit Stream(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };
  Stream follow(const std::string& id, std::int64_t number, const std::string& last_event_id = {});

 private:
  nlohmann::json ask(const std::string& method, const std::string& path, const std::string& body = {});

  std::function<int()> connect_;
};

}  // namespace server
