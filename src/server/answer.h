// What a reader has of an answer so far: plain data, put together from what its generation's journal says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/journal.h"

namespace server {

struct Answer {
  std::uint64_t last_event = 0;  // number of the last event that is in here
  std::string thinking{};
  std::string text{};  // Markdown; a call that the model made although no tools were offered is shown as it wrote it
  engine::Progress progress{};
  std::optional<engine::Done> done{};
  bool interrupted = false;  // it is over because something else ended it, and can be gone on with

  void add(const engine::Journal::Reading& reading);

  bool open() const { return !done; }
  bool started() const { return !thinking.empty() || !text.empty(); }
  bool failed() const { return done && done->finish == engine::Finish::Failed; }
  double thinking_seconds() const { return done ? done->usage.thinking_seconds : progress.thinking_seconds; }
  // What the user is told of a failure; empty if there was none.
  std::string failure() const;
};

// The answer as it was when event number `last` had come.
Answer answer_until(const engine::Journal& journal, std::uint64_t last);
// As it is now.
Answer answer_of(const engine::Journal& journal);

}  // namespace server
