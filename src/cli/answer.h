// Asking the engine, and following its answer on the calling thread: what `run` and `chat` share.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/command_line.h"
#include "cli/display.h"
#include "engine/engine.h"

namespace cli {

// Opens the chosen model, and says which it is. Of `options` what the globals do not say.
std::unique_ptr<engine::Engine> load_engine(const Globals& globals, engine::Options options);

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

// Shows what comes of an answer, on this thread, until it is over, or paused. Several calls go on where the one before
// ended.
class Follower {
 public:
  enum class Interrupt { Cancels, Pauses };  // what an interrupt (interrupt.h) does to the answer

  explicit Follower(std::shared_ptr<engine::Generation> generation) : generation_(std::move(generation)) {}

  engine::Generation& generation() { return *generation_; }
  // How it ended; nothing if it is paused. A failure is thrown as the base::Error that it is.
  std::optional<engine::Done> follow(Display& display, Interrupt interrupt);

 private:
  std::shared_ptr<engine::Generation> generation_;
  engine::Journal::Place place_;
};

// Until it is over; an interrupt cancels it.
engine::Done follow(std::shared_ptr<engine::Generation> generation, Display& display);

// Says so on standard error where an answer ends because the context is full.
void tell_if_cut_off(const engine::Done& done, std::uint32_t max_tokens, std::uint32_t context);

// "214 tokens at 9.1/s · prompt 812 tokens, 780 of them known, at 84/s".
std::string figures(const engine::Usage& usage);

}  // namespace cli
