#include "server/follow.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <string>

#include "server/answer_json.h"
#include "server/api_error.h"
#include "server/http_text.h"
#include "server/journal_reader.h"
#include "server/log.h"
#include "server/sleep.h"
#include "server/views.h"

namespace server {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Between two messages: often enough to see words come, seldom enough that a long answer stays cheap.
template <typename View>
constexpr auto least_pause = 40ms;
template <>
constexpr auto least_pause<AnswerJson> = 0ms;  // there is little to do for one
// Rendering may take at most one part in so many of the time.
constexpr int render_share = 10;
constexpr auto keep_alive_interval = 15s;
constexpr const char* keep_alive = ": waiting\n\n";

struct EventId {
  int epoch = 0;
  std::uint64_t number = 0;
};

std::string text_of(const EventId& id) { return std::to_string(id.epoch) + "." + std::to_string(id.number); }

std::optional<EventId> parse_event_id(const std::string& text) {
  EventId id;
  const char* const end = text.data() + text.size();
  const auto epoch = std::from_chars(text.data(), end, id.epoch);
  if (epoch.ec != std::errc{} || epoch.ptr == end || *epoch.ptr != '.') return std::nullopt;
  const auto number = std::from_chars(epoch.ptr + 1, end, id.number);
  if (number.ec != std::errc{} || number.ptr != end) return std::nullopt;
  return id;
}

std::string ending_of(const Answer& answer) {
  std::string events;
  if (answer.failed()) events += sse_event("", "failed");
  if (!answer.open()) events += sse_event("", "done");
  return events;
}

template <typename View>
Awaitable<void> follow_in(Exchange& exchange, LiveAnswer live, std::int64_t number, std::function<bool()> gone) {
  const engine::Journal& journal = live.generation->journal();
  Answer answer;  // as the page was shown it, and then as it is
  AnswerView::Page page = AnswerView::Page::Fresh;
  co_await exchange.begin_stream();
  if (const std::string& text = exchange.request().last_event_id; !text.empty()) {
    page = AnswerView::Page::Unknown;
    if (const auto id = parse_event_id(text); id && id->epoch == live.epoch) {
      JournalReader reader(live.generation, exchange.executor());
      const auto gets_there = [&] {
        const engine::Journal::Reading reading = reader.read();
        return !reading.over && reading.progress.state != engine::State::Paused;
      };
      while (journal.last_event() < id->number && gets_there() && !gone()) {
        const bool more = co_await reader.wait(keep_alive_interval);
        std::string comment = keep_alive;
        if (!more) co_await exchange.send(std::move(comment));
      }
      if (journal.last_event() >= id->number) {
        page = AnswerView::Page::Back;
        answer = answer_until(journal, id->number);
      }
    }
  }
  View view(number, *live.facts, page, answer);
  JournalReader reader(live.generation, exchange.executor(), answer.last_event);

  auto last_sent = Clock::now();
  while (!gone()) {
    answer.add(reader.read());
    const auto rendering = Clock::now();
    const std::string update = view.update(answer);
    const auto took = Clock::now() - rendering;
    std::string events;
    if (!update.empty()) events = sse_message(update, text_of({live.epoch, answer.last_event}));
    if (view.just_thought()) events += sse_event("", "thought");
    if (answer.failed() && answer.done->error && belongs_into_log(*answer.done->error)) {
      log_error(answer.done->error->what());
    }
    events += ending_of(answer);
    if (events.empty() && rendering - last_sent >= keep_alive_interval) events = keep_alive;
    if (!events.empty()) {
      last_sent = rendering;
      co_await exchange.send(std::move(events));
    }
    if (!answer.open()) co_return;
    co_await sleep(std::max<Clock::duration>(least_pause<View>, took * render_share));
    co_await reader.wait(keep_alive_interval);
  }
}

template <typename View>
Awaitable<void> show_in(Exchange& exchange, Answer answer, ModelFacts facts, std::int64_t number) {
  co_await exchange.begin_stream();
  View view(number, facts, AnswerView::Page::Unknown);
  std::string events = sse_message(view.update(answer), text_of({0, answer.last_event}));
  if (view.just_thought()) events += sse_event("", "thought");
  events += ending_of(answer);
  co_await exchange.send(std::move(events));
}

}  // namespace

Awaitable<void> follow_answer(Exchange& exchange, LiveAnswer answer, std::int64_t number, StreamForm form,
                              std::function<bool()> gone) {
  if (form == StreamForm::Page) return follow_in<AnswerView>(exchange, std::move(answer), number, std::move(gone));
  return follow_in<AnswerJson>(exchange, std::move(answer), number, std::move(gone));
}

Awaitable<void> show_answer(Exchange& exchange, Answer answer, ModelFacts facts, std::int64_t number, StreamForm form) {
  if (form == StreamForm::Page) return show_in<AnswerView>(exchange, std::move(answer), std::move(facts), number);
  return show_in<AnswerJson>(exchange, std::move(answer), std::move(facts), number);
}

Awaitable<void> answer_is_lost(Exchange& exchange, std::int64_t number, StreamForm form) {
  if (form == StreamForm::Json) throw ApiError(404, "this conversation was deleted", {}, "deleted");
  co_await exchange.begin_stream();
  std::string events = sse_event(lost_answer_fragment(number)) + sse_event("", "failed") + sse_event("", "done");
  co_await exchange.send(std::move(events));
}

}  // namespace server
