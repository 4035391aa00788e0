// The worker's half of a generation: what is needed to compute it. Only the worker's thread touches it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "engine/arrival.h"
#include "engine/fair_share.h"
#include "engine/generation.h"
#include "engine/prefix_cache.h"
#include "engine/reply.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/transcript.h"
#include "engine/turn.h"
#include "smollm3/kv_cache.h"

namespace engine {

// How an answer ended.
struct Ending {
  Finish finish;
  std::optional<base::Error> error = {};  // if Failed
};

class Running {
 public:
  // `order`: the number of its arrival. `context`: positions that a conversation may have. What was said of its answer
  // before is in its journal then, and the answer may be over with that.
  Running(Arrival arrival, std::uint64_t order, const smollm3::Tokenizer& tokenizer, smollm3::PagePool& pool,
          std::size_t context);

  Generation& generation() { return *arrival_.generation; }
  const Generation& generation() const { return *arrival_.generation; }
  Arrival& arrival() { return arrival_; }
  const Arrival& arrival() const { return arrival_; }
  const Transcript& transcript() const { return transcript_; }
  bool begun() const { return begun_; }
  bool writing_began() const { return usage_.generated_tokens > 0; }
  bool paused() const { return paused_at_.has_value(); }
  bool is_late(Clock::time_point now) const;      // its deadline is over
  bool writes() const { return !catching_up(); }  // somebody waits for its next token; else it is read

  // It is begun (or begun again) with what is known of its transcript.
  void begin(smollm3::Sequence known, Clock::time_point now);
  // More is known of its prompt by now than it has read.
  void go_on_from(smollm3::Sequence known);
  // Its keys and values are given up; the transcript stays.
  void give_up();
  // The time that it is paused counts as none of its own.
  void pause(Clock::time_point now);
  void resume(Clock::time_point now);
  // As the scheduler sees it. `prompts`: the precision that prompts are computed in; `rows`: the most of a step.
  Runnable runnable(compute::Precision prompts, std::size_t rows) const;
  std::span<const Token> next_tokens(std::size_t count) const {
    return transcript_.tokens().subspan(sequence.length(), count);
  }
  // A hash of all tokens up to the end of the page that it reads next; none if its prompt does not fill that.
  std::optional<std::uint64_t> next_page_hash();
  // Whether the next token can be drawn once so many more are computed.
  bool completes(std::size_t count) const { return sequence.length() + count == transcript_.size(); }

  // Sampling rules for the token that follows the transcript; valid until the next call.
  compute::SamplingRules rules();
  // Whether its thinking is to end at once, as somebody asked; and that it does, with the tokens that close it. Not
  // while the transcript's last token is being computed.
  bool is_to_close() const;
  void close_thinking(Clock::time_point now);
  // The logits after the transcript's last token are there, and `drawn` was drawn from them: the answer goes on with
  // it, or with the end of the thinking where that is due. Returns how the answer ended, if it did.
  std::optional<Ending> advance(Token drawn, Clock::time_point now);
  // How it ended with what was said, if it did.
  std::optional<Ending> over() const;

  // So many rows more of its prompt are being read.
  void charge_reading(std::size_t rows);

  void report(std::uint32_t ahead = 0, std::uint32_t wait_seconds = 0);
  // While a step is computed: of its prompt, tokens that are nearly done.
  void report_part(std::size_t tokens);
  // Writes what is held back of the text, and the end. Nothing may be written after this.
  void end(Finish finish, std::optional<base::Error> error, Clock::time_point now);

  const std::uint64_t order;
  FairShare::Ticket ticket;         // while it is not paused
  smollm3::Sequence sequence;       // computed: of the transcript's first tokens
  std::uint64_t sat_out = 0;        // steps in a row in which it had no row
  std::size_t pages_noted = 0;      // by the prefix cache
  std::uint32_t passed_over = 0;    // how often another was begun before it, since it did not fit
  bool waits = false;               // for another one that reads the same page
  std::uint64_t cache_version = 0;  // in which nothing more was found for it

 private:
  Progress progress() const;
  bool catching_up() const;
  bool closing_is_due() const;
  void note_first_token(Clock::time_point now);
  void say(std::span<const Token> tokens, Clock::time_point now);
  void take(std::span<const Token> tokens);
  std::size_t most_tokens() const;
  std::uint32_t of_prompt(std::size_t tokens) const;

  Arrival arrival_;
  const smollm3::Tokenizer& tokenizer_;
  std::size_t context_;
  std::size_t room_;  // positions that this conversation may have, be the context less
  Transcript transcript_;
  Sampler sampler_;
  Reply reply_;
  Usage usage_;
  bool under_way_ = false;  // not queued
  bool begun_ = false;      // was under way before
  bool too_long_ = false;   // what is to be said next does not fit into the context
  std::optional<Clock::time_point> paused_at_;
  std::size_t charged_ = 0;  // tokens, of its first ones: they were known, or its client was charged for them
  std::uint64_t hash_ = 0;   // of so many pages' tokens
  std::size_t hashed_pages_ = 0;
  Clock::time_point began_;  // reading the prompt
  // As if all that was said had been said by this process, without a break. None until it draws a token.
  std::optional<Clock::time_point> first_token_;
};

}  // namespace engine
