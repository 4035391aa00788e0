// What became of one generation: an append-only list of events with one writer and any number of readers, each at its
// own place. It is the one way out of the engine: streams, whole answers and recorders are all readers of a Journal.
//
// Events are numbered from 1. A number follows from the tokens alone (each token's share of text is an event, or none),
// never from time or batching, so that a reader can come back with the last number it has, even after a restart. What a
// reader is given may join neighbouring events of one kind; it then has the number of the last.
//
// Beside the events are the tokens that they were made of: what a recorder keeps, and a Request takes, to have the
// answer gone on with by another process. A token is there before the events that it makes.
//
// Progress is not an event: it has no number, and only its latest state is kept.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "engine/said.h"
#include "smollm3/chat_output.h"

namespace engine {

enum class State { Queued, Reading, Writing, Paused, Done };  // see generation.h

enum class Finish {
  Stop,       // the model ended its turn, or a stop text came
  Length,     // the limit of tokens was reached, the context is full, or its time is over
  ToolCalls,  // as Stop, after tools were called
  Cancelled,  // by whoever asked, or because the engine is shutting down
  Failed,     // Done::error says why
};

struct Usage {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;     // of the prompt, whose keys and values were kept from earlier
  std::uint32_t generated_tokens = 0;  // thinking included
  std::uint32_t thinking_tokens = 0;
  double queue_seconds = 0;
  double prompt_seconds = 0;
  double generate_seconds = 0;  // from the first token to the last
  double thinking_seconds = 0;

  double prompt_speed() const;  // tokens a second, 0 if nothing was computed
  double generate_speed() const;
};

struct Progress {
  State state = State::Queued;
  std::uint32_t ahead = 0;          // requests that will be begun before this one, while it is queued
  std::uint32_t wait_seconds = 0;   // that it will probably be queued for yet; 0: nobody can say
  std::uint32_t prompt_tokens = 0;  // 0 until the conversation has been rendered and tokenised
  std::uint32_t prompt_done = 0;    // of them, computed
  std::uint32_t generated_tokens = 0;
  double thinking_seconds = 0;  // so far

  bool operator==(const Progress&) const = default;
};

struct Thinking {
  std::string text;
};
struct Answer {
  std::string text;
};
struct Done {
  Finish finish = Finish::Stop;
  std::optional<base::Error> error = {};  // if Failed
  Usage usage = {};
};

using What = std::variant<Thinking, Answer, smollm3::ToolCall, Done>;

struct Event {
  std::uint64_t number;
  What what;
};

class Journal {
 public:
  // What a reader has: all events up to a number, and a version of the progress.
  struct Place {
    std::uint64_t event = 0;
    std::uint64_t progress = 0;
  };
  struct Reading {
    std::vector<Event> events;  // in order; neighbouring texts of one kind are joined
    Progress progress;
    Place next;         // where to read on
    bool over = false;  // Done is among the events, or before them
  };

  // A wish to be woken. When it goes, so does the wish; a call that is just being made may still come.
  class Watch {
   public:
    Watch() = default;
    Watch(Journal* journal, std::uint64_t id) : journal_(journal), id_(id) {}
    Watch(Watch&& other) noexcept : journal_(std::exchange(other.journal_, nullptr)), id_(other.id_) {}
    Watch& operator=(Watch&& other) noexcept;
    ~Watch();

   private:
    Journal* journal_ = nullptr;  // must outlive the watch
    std::uint64_t id_ = 0;
  };

  // Safe from any thread. `last`: the number of the last event to read.
  Reading read(Place from, std::uint64_t last = std::numeric_limits<std::uint64_t>::max()) const;
  Progress progress() const;
  bool over() const;
  std::uint64_t last_event() const;  // its number; 0 if there is none yet
  // The tokens from the `from`-th on (none if there are not so many), and the times of all. Tokens that were said in
  // one go, as those that close a thought, are there together or not at all: an answer can be gone on with after any.
  Said said(std::size_t from = 0) const;
  std::size_t bytes() const;  // of memory that events and tokens take
  // Calls `wake` once there is more than `from` has: at once, or later on the thread that writes. It must be quick and
  // must neither throw nor use this journal, and owns what it touches.
  [[nodiscard]] Watch when_more(Place from, std::function<void()> wake);
  // Waits for more than `from` has; false if there is none after `patience`.
  bool wait_for_more(Place from, std::chrono::milliseconds patience) const;
  Done wait_for_end() const;

  // For the writer. Nothing may follow Done.
  void append(What what);
  // The next tokens, before the events that they make; and the times up to now.
  void say(std::span<const smollm3::Token> tokens, double generate_seconds, double thinking_seconds);
  void report(const Progress& progress);

 private:
  // Where an event's text ends in text_, or which call it is in calls_.
  struct Entry {
    enum class Kind : std::uint8_t { Thinking, Answer, ToolCall, Done } kind;
    std::size_t end;
  };
  struct Waiting {
    std::uint64_t id;
    std::function<void()> wake;
  };

  bool has_more(Place from) const { return entries_.size() > from.event || version_ > from.progress; }
  void forget(std::uint64_t id);
  void wake_all(std::unique_lock<std::mutex> lock);

  mutable std::mutex mutex_;
  mutable std::condition_variable arrived_;
  std::string text_;  // of all thinking and answers, in order
  std::vector<smollm3::ToolCall> calls_;
  Said said_;
  std::optional<Done> done_;
  std::vector<Entry> entries_;  // number n is entries_[n - 1]
  Progress progress_;
  std::uint64_t version_ = 0;  // counts changes of the progress
  std::vector<Waiting> waiting_;
  std::uint64_t next_id_ = 0;
};

}  // namespace engine
