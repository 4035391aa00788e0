// The engine answers turns of conversations: many at once, on one model. What is asked becomes a Generation at once,
// whose Journal any number of readers may follow. docs/architecture.md follows a turn on its way.
//
// Two threads are the engine's own: one prepares (templates, tokens), the other, the worker, computes with the device's
// pool. Everything public is safe from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "compute/compute.h"
#include "engine/fingerprint.h"
#include "engine/generation.h"
#include "engine/loaded_model.h"
#include "engine/preparer.h"
#include "engine/turn.h"
#include "engine/worker.h"
#include "gguf/gguf.h"

namespace engine {

struct Options {
  compute::DeviceKind device = compute::DeviceKind::Auto;
  int threads = 0;                      // 0: as many as there are processors
  std::uint32_t context = 0;            // positions a conversation may have; 0: a default that fits into memory
  std::uint64_t kv_memory = 0;          // bytes for the keys and values of all conversations; 0: what is free, but
  std::uint64_t conversations = 256;    // no more than so many whole contexts would take
  bool exact = false;                   // prompts too are computed exactly, where something faster is built in
  std::chrono::milliseconds step{250};  // that a step may take while somebody waits for the next token
  std::size_t most_waiting = 256;       // requests; more are refused as Busy
  std::string system = {};              // the system prompt of conversations that bring none; shared by all accounts
};

// Too much is waiting.
struct Busy : base::Error {
  Busy(std::string_view why, std::uint32_t seconds);

  std::uint32_t retry_after;  // seconds after which there will probably be room
};

class Engine {
 public:
  // Takes the file over. Throws base::Error if it holds no SmolLM3, or memory does not suffice.
  Engine(gguf::File file, const Options& options);
  ~Engine();  // ends what is under way, with Finish::Cancelled
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Begins an answer. Throws base::Error if parameters are out of range, Busy if too much is waiting, of all clients or
  // of this one. What only shows when the conversation is rendered, as that it does not fit the context (TooLong), is
  // the error of its Done.
  std::shared_ptr<Generation> start(Turn turn);
  std::shared_ptr<Generation> start(Request request);
  // The same in two steps: once the turn is rendered and checked, `on_prepared` has it as a Prepared, and nothing is
  // computed until that is started. Where it comes to nothing (it cannot be rendered, does not fit, is cancelled, or
  // the engine ends) it has the generation's Done instead.
  //
  // Called once for this engine: on the preparing thread, or on the one that cancels or ends. And once more for each
  // engine that adopts the turn before it was begun, even if it was prepared and started here: the request is another
  // then, of another model's tokens, and replaces the one before. It must be quick and must not throw, and calls
  // nothing of the engine but Prepared::start.
  std::shared_ptr<Generation> prepare(Turn turn, OnPrepared on_prepared);

  // For an engine that is to be replaced by another: refuses what is asked from now on (Busy), waits until those that
  // were begun have ended, and hands back the turns that were not. Requests, whose tokens are of this model, end as
  // Failed (Busy), and so does a Prepared that is started later. Until it returns, all can be cancelled; then whoever
  // has the turns answers for that.
  std::vector<Unbegun> retire();
  void adopt(std::vector<Unbegun> turns);

  Load load() const;

  const gguf::File& file() const;
  std::string model_name() const;
  const smollm3::Config& config() const;
  const smollm3::Tokenizer& tokenizer() const;
  const Fingerprint& fingerprint() const;  // computed when it is first asked for, in much less than a second
  std::string device_name() const;
  std::string device_note() const;  // as of compute::ChosenDevice
  std::string mode() const;         // how prompts are computed: "exact" or "fast", as of compute::mode
  int threads() const;
  std::uint32_t context() const;       // positions a conversation may have
  std::uint64_t kv_positions() const;  // positions that all conversations together may have

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace engine
