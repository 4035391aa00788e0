// Asking the engine, and following its answer on the calling thread: what `run` and `chat` share.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/command_line.h"
#include "engine/assistant.h"
#include "engine/engine.h"

namespace cli {

// Opens the chosen model, and says which it is.
std::unique_ptr<engine::Engine> load_engine(const Globals& globals);

struct SamplingOptions {
  engine::Sampling sampling;
  std::optional<std::uint64_t> seed;  // a random one if absent
  std::uint32_t max_tokens = 0;       // 0: until the context is full

  void declare(Command& command);
  // Settles the seed. Throws base::Error naming what is out of range.
  engine::Sampling choose() const;
};

// Throws base::Error unless the text is UTF-8, as conversations must be; `name` says where it came from.
void require_utf8(const std::string& name, const std::string& text);

// Submits a turn, or a bare request, and passes what comes of it to `show` on this thread until it is over. An
// interrupt (interrupt.h) cancels it. A failure of the engine is thrown as base::Error.
engine::Done follow(engine::Engine& engine, const engine::Turn& turn,
                    const std::function<void(const smollm3::OutputEvent&)>& show);
engine::Done follow(engine::Engine& engine, engine::Request request,
                    const std::function<void(const std::string& text)>& show);

// "214 tokens at 9.1/s · prompt 812 tokens, 780 of them known, at 84/s".
std::string figures(const engine::Usage& usage);

}  // namespace cli
