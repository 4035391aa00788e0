// Which handler answers which request, and what errors and headers look like.
#pragma once

#include "server/access.h"
#include "server/api_error.h"
#include "server/authentication.h"
#include "server/chat.h"
#include "server/completions.h"
#include "server/connection.h"
#include "server/engine_slot.h"
#include "server/sign_in.h"

namespace server {

class Routes {
 public:
  // `engines` and `store` must outlive the routes.
  Routes(EngineSlot& engines, store::Store& store, AccessRules access);

  // What conversations do besides being asked: as of Chat.
  Awaitable<void> work(bool resume);
  Awaitable<void> keep_house(bool titles);
  Awaitable<void> let_go();

  // Answers the request. Throws what told_to_client() (api_error.h) makes an answer of, and system_error if the client
  // left.
  Awaitable<void> handle(Exchange& exchange);

  // For paths of APIs in OpenAI's form, for fragments a notice, else a page; where a page needs a sign-in, the way
  // there.
  static Response error(const Request& request, const ApiError& error);
  static Response error(const Request& request, unsigned status, const std::string& message);
  // Whether the handler waits for the engine.
  static bool waits(const Request& request);
  // Of every response.
  static Headers headers();

 private:
  Awaitable<void> dispatch_open(Exchange& exchange);
  Awaitable<void> dispatch(Exchange& exchange, const Visitor& visitor);
  Awaitable<void> dispatch_chat(Exchange& exchange, const Visitor& visitor);

  EngineSlot& engines_;
  AccessRules access_;
  Authentication authentication_;
  SignIn sign_in_;
  Completions completions_;
  Chat chat_;
  store::Store temporary_store_;
  Chat temporary_chat_;
};

}  // namespace server
