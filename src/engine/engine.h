// The engine answers requests for text: it queues them, runs the model on a thread of its own, samples, and hands the
// text out as it comes. Prompts that begin like an earlier one are not computed again.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compute/compute.h"
#include "engine/sampler.h"
#include "gguf/gguf.h"
#include "smollm3/chat.h"
#include "smollm3/model.h"
#include "smollm3/tokenizer.h"

namespace engine {

struct Options {
  compute::DeviceKind device = compute::DeviceKind::Auto;
  int threads = 0;            // 0: as many as there are processors
  std::uint32_t context = 0;  // positions a conversation may have; 0: a default that fits into memory
  bool exact = false;         // prompts too are computed exactly, where something faster is built in
};

struct Request {
  std::vector<Token> prompt = {};
  Sampling sampling = {};
  std::uint32_t max_tokens = 0;        // of the answer; 0: until the context is full
  std::vector<std::string> stop = {};  // texts that end the answer; they are not part of it
};

enum class Finish {
  Stop,       // the model ended its turn, or a stop text came
  Length,     // max_tokens, or the context is full
  Cancelled,  // cancel() was called, or the engine is shutting down
  Failed,     // Update::error says why
};

struct Usage {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;  // of the prompt, taken from an earlier request
  std::uint32_t generated_tokens = 0;
  double queue_seconds = 0;
  double prompt_seconds = 0;
  double generate_seconds = 0;  // from the first token to the last

  double prompt_speed() const;  // tokens a second, 0 if nothing was computed
  double generate_speed() const;
};

// What happens to a request. Text comes in whole UTF-8 characters; the last update has `finish`.
struct Update {
  std::string text = {};          // new text, may be empty
  std::uint32_t prompt_done = 0;  // tokens of the prompt computed so far, of usage.prompt_tokens
  std::optional<Finish> finish = {};
  std::string error = {};  // one line, if finish is Failed
  Usage usage = {};
};

// Called on the engine's thread: it must be quick, must not block and must not throw.
using Listener = std::function<void(const Update&)>;

// A request on its way. Dropping the ticket does not cancel.
class Ticket {
 public:
  virtual ~Ticket() = default;
  // Ends the request soon; its listener still gets a last update, with Finish::Cancelled. Safe from any thread.
  virtual void cancel() = 0;
  // How many requests are served before this one; 0 while it is being answered or after.
  virtual std::uint32_t ahead() const = 0;
};

class Engine {
 public:
  // Takes the file over. Throws base::Error if it holds no SmolLM3, or memory does not suffice.
  Engine(gguf::File file, const Options& options);
  ~Engine();  // cancels what is under way, and waits for it
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Queues a request. Throws base::Error if its parameters are out of range or its prompt does not fit the context.
  std::shared_ptr<Ticket> submit(Request request, Listener listener);

  struct Load {
    std::uint32_t running = 0;
    std::uint32_t waiting = 0;
  };
  Load load() const;

  const gguf::File& file() const;
  std::string model_name() const;  // general.name, or the file's name
  const smollm3::Config& config() const;
  const smollm3::Tokenizer& tokenizer() const;
  const smollm3::ChatTemplate& chat_template() const;
  std::string device_name() const;
  std::string device_note() const;  // as of compute::ChosenDevice
  std::string mode() const;         // how prompts are computed: "exact" or "fast", as of compute::mode
  int threads() const;
  std::uint32_t context() const;  // positions a conversation may have

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace engine
