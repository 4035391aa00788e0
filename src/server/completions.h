// POST /v1/chat/completions: one answer, whole or as a stream of events.
#pragma once

#include "server/engine_slot.h"
#include "server/exchange.h"

namespace server {

// A client that leaves ends its answer. Throws ApiError or base::Error if the request is refused, or the answer failed,
// and nothing was sent yet.
Awaitable<void> answer_completion(EngineSlot& engines, Exchange& exchange);

}  // namespace server
