// POST /v1/chat/completions: one answer, whole or as a stream of events; and what can be asked of one under way.
#pragma once

#include <string>

#include "server/engine_slot.h"
#include "server/exchange.h"

namespace server {

// A client that leaves ends its answer. Throws ApiError or base::Error if the request is refused, or the answer failed,
// and nothing was sent yet.
Awaitable<void> answer_completion(EngineSlot& engines, Exchange& exchange);

// POST /v1/chat/completions/ID/ACTION: pause, resume or finish_thinking. Throws ApiError if there is no such answer
// under way, or no such action.
Response control_completion(const EngineSlot& engines, const std::string& id, const std::string& action);

}  // namespace server
