// The body of POST /v1/chat/completions to a turn for the engine.
#pragma once

#include <string>
#include <string_view>

#include "engine/turn.h"

namespace server {

struct CompletionRequest {
  engine::Turn turn;
  bool stream = false;
  bool include_usage = false;  // of a stream: a last piece with the usage
};

// Throws ApiError naming the field that is wrong. Fields the API does not have are ignored; those it has and this
// server cannot honour (n > 1, logprobs, a response format, a forced tool) are refused if they ask for something.
// A field that is null counts as absent. Without a seed, a random one is taken. Beside OpenAI's fields:
// `deadline_seconds`, and `cache_salt` (as vLLM has it): what was computed for a conversation is found again only under
// the same salt, so a gateway can keep its users apart.
CompletionRequest parse_completion_request(std::string_view body);

}  // namespace server
