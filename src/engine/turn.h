// What is asked of the engine. A Turn is a conversation as people and protocols have it; a Request is the same as the
// model reads it. Both are plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/sampler.h"
#include "smollm3/chat.h"
#include "smollm3/tokenizer.h"

namespace engine {

// How an answer is to be generated, and when it ends.
struct Limits {
  std::uint32_t max_tokens = 0;                       // thinking included; 0: until the context is full
  std::optional<std::uint32_t> thinking_budget = {};  // tokens after which the thinking is closed
  std::vector<std::string> stop = {};                 // texts that end the answer and are not part of it
};

struct Turn {
  smollm3::ChatInput input = {};  // messages, tools, thinking or not
  Sampling sampling = {};
  Limits limits = {};  // stop texts count in the answer, not in the thinking before it
};

struct Request {
  std::vector<Token> prompt = {};
  Sampling sampling = {};
  Limits limits = {};
  // Where a chat's answer begins, to be parsed into thinking, answer and tool calls. None: it is text as it comes.
  std::optional<smollm3::StreamStart> chat = {};
  bool tools_offered = false;  // else what looks like a call is part of the answer
};

// Renders and tokenises, which takes up to a second for long conversations. Throws base::Error if it cannot be
// rendered.
Request prepare(const Turn& turn, const smollm3::ChatTemplate& chat_template, const smollm3::Tokenizer& tokenizer);

}  // namespace engine
