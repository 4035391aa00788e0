// How the terminal follows an answer.
#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "cli/conversation.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "store/names.h"

namespace cli {

using namespace std::chrono_literals;

namespace {

// What follows the beginning that was shown, as it was written or as the store has it; nothing if it began otherwise.
std::optional<std::string> rest_of(const std::string& text, const std::string& shown) {
  for (const std::string& beginning : {shown, store::storable(shown)}) {
    if (text.starts_with(beginning)) return text.substr(beginning.size());
  }
  return std::nullopt;
}

}  // namespace

void Conversation::follow(Follow how) {
  Display& display = answering_->display;
  try {
    const std::optional<server::AnswerUpdate> last = follow_stream(how);
    if (how != Follow::ToItsEnd) display.end();
    if (!last) {
      say(fmt::format("stopped after {} tokens · /continue goes on", grouped(answering_->progress.generated_tokens)));
      return;
    }
    answering_.reset();
    interrupted_ = last->interrupted;
    if (last->done->error) return fail(last->done->error->what());
    if (how == Follow::ToItsEnd) return;
    if (interrupted_) return say("This answer was interrupted · /continue goes on with it");
    if (!quiet_) tell_if_cut_off(*last->done, options_.sampling.max_tokens, server_.model().context);
    say(figures(last->done->usage));
  } catch (const server::ServerGone&) {
    if (!display.answer().empty()) display.end();
    lost_ = true;
    fail(std::string("chat: the server has ended; what it wrote is kept, and ") +
         (piped_ ? "smollm3 chat --continue" : "/continue") + " goes on with it");
  }
}

// What the stream, which is opened where there is none, brings next; nothing if nothing has come yet. A server lets go
// of one who does not read for half a minute, as a terminal does that was stopped (Ctrl-S): then another stream goes on
// where that one ended.
std::optional<server::AnswerUpdate> Conversation::next(std::optional<server::LocalClient::Stream>& stream) {
  Answering& answering = *answering_;
  if (!stream) stream.emplace(server_.client().follow(id_, answering.number, answering.last_event_id));
  try {
    // A signal wakes nobody up, hence the patience.
    std::optional<server::AnswerUpdate> update = stream->next(20ms);
    if (update) answering.last_event_id = stream->last_event_id();
    return update;
  } catch (const server::ServerGone&) {
    if (std::exchange(answering.last_seen, answering.last_event_id) == answering.last_event_id) throw;
    stream.reset();
    return std::nullopt;
  }
}

// The last of the answer; nothing if it is paused.
std::optional<server::AnswerUpdate> Conversation::follow_stream(Follow how) {
  Answering& answering = *answering_;
  std::optional<server::LocalClient::Stream> stream;
  const engine::Progress& progress = answering.progress;
  // What is told of one that was just resumed may be of before that.
  bool ran = how != Follow::AfterPause;
  // A script waits until whoever has paused its answer resumes it.
  const bool may_leave = !piped_ || how == Follow::AfterOpen;
  bool noticed = false;
  for (;;) {
    if (how != Follow::ToItsEnd && interrupted() && !std::exchange(noticed, true)) {
      server_.client().steer(id_, "pause");
    }
    std::optional<server::AnswerUpdate> update = next(stream);
    if (update) {
      take_update(*update);
      if (update->done) return update;
    }
    const bool paused = progress.state == engine::State::Paused;
    if (paused && how != Follow::ToItsEnd && (noticed || (ran && may_leave))) return std::nullopt;
    ran = ran || !paused;
  }
}

void Conversation::take_update(server::AnswerUpdate update) {
  Answering& answering = *answering_;
  if (update.anew) {
    const auto thinking = rest_of(update.thinking, answering.display.thinking());
    const auto text = rest_of(update.text, answering.display.answer());
    if (thinking && text) {
      update.thinking = *thinking;
      update.text = *text;
    } else {
      answering.display.end();
      answering.display = Answering(answering.number).display;
    }
  }
  if (update.progress) answering.progress = *update.progress;
  answering.display.show_progress(answering.progress);
  if (!update.thinking.empty()) answering.display.show(engine::Thinking{update.thinking});
  if (!update.text.empty()) answering.display.show(engine::Answer{update.text});
  if (update.done) answering.display.show(*update.done);
}

}  // namespace cli
