// A turn of a conversation: messages in, thinking, answer and tool calls out. What the command line and the server
// share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/engine.h"
#include "smollm3/chat.h"
#include "smollm3/chat_output.h"

namespace engine {

struct Turn {
  smollm3::ChatInput input;  // messages, tools, thinking or not
  Sampling sampling;
  std::uint32_t max_tokens = 0;   // 0: until the context is full
  std::vector<std::string> stop;  // texts that end the answer where they come in it (not in the thinking before it)
};

struct Done {
  Finish finish;
  std::string error;  // one line, if finish is Failed
  Usage usage;
  bool called_tools = false;
};

struct Progress {
  std::uint32_t prompt_done;
  std::uint32_t prompt_tokens;
};

// smollm3::OutputEvent: a piece of thinking or answer, or a whole tool call (if tools were offered; else it is answer
// text).
using TurnEvent = std::variant<Progress, smollm3::OutputEvent, Done>;
using TurnListener = std::function<void(const TurnEvent&)>;  // called on the engine's thread; Done comes last, once

// Renders and tokenises the conversation and submits it. Throws base::Error if it cannot be rendered or does not fit.
std::shared_ptr<Ticket> submit_turn(Engine& engine, const Turn& turn, TurnListener listener);

}  // namespace engine
