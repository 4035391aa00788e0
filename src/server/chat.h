// The web chat: its page, the messages sent from it, and the stream that brings an answer to it word by word.
//
// Sending a message starts its answer; the stream only follows (follow.h). So an answer goes on whoever reads it, and
// nothing but its end, the stop button or the server's end ends it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "server/conversations.h"
#include "server/engine_slot.h"
#include "server/exchange.h"

namespace server {

class Chat {
 public:
  // `engines` must outlive the chat.
  explicit Chat(EngineSlot& engines) : engines_(engines) {}

  // GET /: an empty conversation of its own.
  Awaitable<void> new_page(Exchange& exchange);
  // GET /c/ID
  Awaitable<void> page(Exchange& exchange, const std::string& id);
  // POST /c/ID/messages. Throws base::Error if the engine takes no more.
  Awaitable<void> post_message(Exchange& exchange, const std::string& id);
  // GET /c/ID/stream/N: follows the answer to message N.
  Awaitable<void> stream(Exchange& exchange, const std::string& id, std::size_t round);
  // POST /c/ID/stop, …/pause, …/resume: of the answer that is under way.
  static bool is_control(std::string_view action);
  Awaitable<void> control(Exchange& exchange, const std::string& id, const std::string& action);

 private:
  Response accept(const Request& request, const std::string& id);
  std::shared_ptr<engine::Generation> start(Conversation* conversation, const std::string& prompt, bool think,
                                            const std::string& client);

  EngineSlot& engines_;
  Conversations conversations_;
};

}  // namespace server
