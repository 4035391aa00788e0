// POST /v1/chat/completions: one answer, whole or as a stream of events.
#pragma once

#include <string>

#include "engine/engine.h"
#include "server/exchange.h"

namespace server {

// Throws ApiError if the request is refused and nothing was sent yet.
Awaitable<void> answer_completion(engine::Engine& engine, Exchange& exchange);

}  // namespace server
