#include "server/follow.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <chrono>
#include <optional>
#include <string>

#include "server/api_error.h"
#include "server/http_text.h"
#include "server/journal_reader.h"
#include "server/log.h"
#include "server/views.h"

namespace server {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Between two messages: often enough to see words come, seldom enough that a long answer stays cheap.
constexpr auto least_pause = 40ms;
// Rendering may take at most one part in so many of the time.
constexpr int render_share = 10;
constexpr auto keep_alive_interval = 15s;

Awaitable<void> sleep(Exchange& exchange, Clock::duration time) {
  asio::steady_timer timer(exchange.executor(), time);
  co_await timer.async_wait(asio::use_awaitable);
}

// The number of the last event that a page was shown; none if it names no event that there is.
std::optional<std::uint64_t> parse_event_id(const std::string& text, const engine::Journal& journal) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || parsed != end || number > journal.last_event()) return std::nullopt;
  return number;
}

}  // namespace

Awaitable<void> follow_answer(Exchange& exchange, std::shared_ptr<engine::Generation> generation,
                              std::shared_ptr<const ModelFacts> facts, std::size_t round) {
  Answer answer;  // as the page was shown it, and then as it is
  AnswerView::Page page = AnswerView::Page::Fresh;
  if (const std::string& id = exchange.request().last_event_id; !id.empty()) {
    const auto number = parse_event_id(id, generation->journal());
    page = number ? AnswerView::Page::Back : AnswerView::Page::Unknown;
    if (number) answer = answer_until(generation->journal(), *number);
  }
  AnswerView view(round, *facts, page, answer);
  JournalReader reader(generation, exchange.executor(), answer.last_event);

  co_await exchange.begin_stream();
  auto last_sent = Clock::now();
  while (true) {
    answer.add(reader.read());
    const auto rendering = Clock::now();
    const std::string update = view.update(answer);
    const auto took = Clock::now() - rendering;
    std::string events;
    if (!update.empty()) events = sse_message(update, std::to_string(answer.last_event));
    if (view.just_thought()) events += sse_event("", "thought");
    if (answer.failed()) {
      events += sse_event("", "failed");
      if (answer.done->error && belongs_into_log(*answer.done->error)) log_error(answer.done->error->what());
    }
    if (!answer.open()) events += sse_event("", "done");
    if (events.empty() && rendering - last_sent >= keep_alive_interval) events = ": waiting\n\n";
    if (!events.empty()) {
      last_sent = rendering;
      co_await exchange.send(std::move(events));
    }
    if (!answer.open()) co_return;
    co_await sleep(exchange, std::max<Clock::duration>(least_pause, took * render_share));
    co_await reader.wait(keep_alive_interval);
  }
}

Awaitable<void> answer_is_lost(Exchange& exchange, std::size_t round) {
  co_await exchange.begin_stream();
  std::string events = sse_event(lost_answer_fragment(round)) + sse_event("", "failed") + sse_event("", "done");
  co_await exchange.send(std::move(events));
}

}  // namespace server
