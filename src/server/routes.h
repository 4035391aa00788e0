// Which handler answers which request, and what errors and headers look like.
#pragma once

#include "server/access.h"
#include "server/api_error.h"
#include "server/chat.h"
#include "server/connection.h"
#include "server/engine_slot.h"

namespace server {

class Routes {
 public:
  // `engines` and `store` must outlive the routes.
  Routes(EngineSlot& engines, store::Store& store, AccessRules access);

  Chat& chat() { return chat_; }

  // Answers the request. Throws what told_to_client() (api_error.h) makes an answer of, and system_error if the client
  // left.
  Awaitable<void> handle(Exchange& exchange);

  // For paths of APIs in OpenAI's form, for fragments a notice, else a page.
  static Response error(const Request& request, const ApiError& error);
  static Response error(const Request& request, unsigned status, const std::string& message);
  // Whether the handler waits for the engine.
  static bool waits(const Request& request);
  // Of every response.
  static Headers headers();

 private:
  Awaitable<void> dispatch(Exchange& exchange);
  Awaitable<void> dispatch_chat(Exchange& exchange);

  EngineSlot& engines_;
  AccessRules access_;
  Chat chat_;
};

}  // namespace server
