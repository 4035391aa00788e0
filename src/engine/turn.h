// What is asked of the engine. A Turn is a conversation as people and protocols have it; a Request is the same as the
// model reads it. Both are plain data.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/said.h"
#include "engine/sampler.h"
#include "engine/transcript.h"
#include "smollm3/chat.h"
#include "smollm3/tokenizer.h"

namespace engine {

// How an answer is to be generated, and when it ends.
struct Limits {
  std::uint32_t max_tokens = 0;                       // thinking included; 0: until the context is full
  std::optional<std::uint32_t> thinking_budget = {};  // tokens after which the thinking is closed
  std::vector<std::string> stop = {};                 // texts that end the answer and are not part of it
  double deadline = 0;  // seconds after it was asked: it is not begun later, and ends by then; 0: none
  // Positions that prompt and answer may have together; 0: as many as the engine's context. One that is gone on with
  // in an engine of another context ends where it would have ended in its own; one that comes to need more than the
  // context has fails as TooLong.
  std::uint32_t room = 0;
};

// Who asks.
struct Asker {
  std::string client = {};   // a key, an account or an address: what all of a client ask shares its turns with others
  std::string account = {};  // what is kept of a conversation is found again by the same account alone
};

struct Turn {
  smollm3::ChatInput input = {};  // messages, tools, thinking or not
  Sampling sampling = {};
  Limits limits = {};  // stop texts count in the answer, not in the thinking before it
  Asker asker = {};
  // The conversation so far, as a generation of an earlier turn left it (Generation::take_transcript). Where the text
  // of the messages begins like the text of its tokens, these very tokens are taken, though the text alone might be
  // tokenised otherwise; so what was computed for them is found again. Part of what is asked: the answer depends on it.
  std::shared_ptr<const Transcript> before = {};
};

struct Request {
  std::vector<Token> prompt = {};
  // Which of them the model generated in earlier turns: a bit for each, 64 to a word; those that are missing are 0.
  std::vector<std::uint64_t> generated = {};
  std::size_t shared = 0;  // of the prompt's first tokens: what every account begins with
  Sampling sampling = {};
  Limits limits = {};
  // Where a chat's answer begins, to be parsed into thinking, answer and tool calls. None: it is text as it comes.
  std::optional<smollm3::StreamStart> chat = {};
  bool tools_offered = false;  // else what looks like a call is part of the answer
  Asker asker = {};
  // Of this very answer, by a process that is gone: it goes on from there, with the bytes and the numbers of events
  // that it would have had. Its journal has it from the beginning; its deadline counts anew.
  Said said = {};
};

// Renders and tokenises, which takes up to a second for long conversations. `system`: the system prompt of
// conversations that bring none; empty for none. Throws base::Error if it cannot be rendered.
Request prepare(const Turn& turn, const std::string& system, const smollm3::ChatTemplate& chat_template,
                const smollm3::Tokenizer& tokenizer);

}  // namespace engine
