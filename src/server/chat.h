// The web chat: its page, the messages sent from it, and the stream that brings an answer to it word by word.
#pragma once

#include <cstddef>
#include <string>

#include "engine/engine.h"
#include "server/conversations.h"
#include "server/exchange.h"
#include "server/views.h"

namespace server {

class Writer;

class Chat {
 public:
  explicit Chat(engine::Engine& engine);

  // GET /: an empty conversation of its own.
  Awaitable<void> new_page(Exchange& exchange);
  // GET /c/ID
  Awaitable<void> page(Exchange& exchange, const std::string& id);
  // POST /c/ID/messages
  Awaitable<void> post_message(Exchange& exchange, const std::string& id);
  // GET /c/ID/stream/N: begins the answer to message N, or follows one that has begun.
  Awaitable<void> stream(Exchange& exchange, const std::string& id, std::size_t round);
  // POST /c/ID/stop
  Awaitable<void> stop(Exchange& exchange, const std::string& id);

 private:
  Awaitable<void> follow(Exchange& exchange, Conversation& conversation, std::size_t round, Writer* writer);
  Response accept(const Request& request, const std::string& id);

  engine::Engine& engine_;
  ModelFacts facts_;
  Conversations conversations_;
};

}  // namespace server
