#include "server/chat.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <optional>
#include <random>

#include "base/error.h"
#include "server/generation.h"
#include "server/http_text.h"

namespace server {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Between two updates of a page: often enough to see words come, seldom enough that a long answer stays cheap.
constexpr auto least_pause = 50ms;
// Rendering may take at most one part in so many of the time.
constexpr int render_share = 10;
constexpr auto keep_alive_interval = 15s;
constexpr std::size_t most_conversation = 4 << 20;  // bytes

Response html(unsigned status, std::string body, Headers headers = {}) {
  headers.emplace_back("Cache-Control", "no-store");
  return {.status = status,
          .content_type = "text/html; charset=utf-8",
          .body = std::move(body),
          .headers = std::move(headers)};
}

Awaitable<void> sleep(Exchange& exchange, Clock::duration time) {
  asio::steady_timer timer(exchange.executor(), time);
  co_await timer.async_wait(asio::use_awaitable);
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n") + 1 - begin);
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace

// Has the engine write the answer of a round, and keeps what comes. When it goes before the end, so does the answer;
// what was written until then stays.
class Writer {
 public:
  // Throws base::Error if the conversation cannot be answered.
  Writer(engine::Engine& engine, std::shared_ptr<Conversation> conversation, std::size_t round,
         asio::any_io_executor executor)
      : conversation_(std::move(conversation)), round_(round), generation_(engine, turn(), std::move(executor)) {
    answer().state = Answer::State::Live;
    answer().ahead = generation_.ahead();
  }
  ~Writer() {
    if (answer().open()) finish(Answer::State::Stopped);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  Awaitable<void> wait(std::chrono::milliseconds at_most) { co_await generation_.wait(at_most); }

  void take() {
    if (answer().stop_asked) generation_.cancel();
    answer().ahead = generation_.ahead();
    for (const engine::TurnEvent& event : generation_.take()) {
      if (const auto* progress = std::get_if<engine::Progress>(&event)) answer().progress = *progress;
      if (const auto* output = std::get_if<smollm3::OutputEvent>(&event)) keep(*output);
      if (const auto* done = std::get_if<engine::Done>(&event)) keep(*done);
    }
    if (thinking_began_ && !thinking_over_) answer().thinking_time = since(*thinking_began_);
  }

  void cancel() { generation_.cancel(); }

 private:
  static std::chrono::milliseconds since(Clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - time);
  }

  Answer& answer() { return conversation_->rounds[round_].answer; }

  engine::Turn turn() const {
    engine::Turn turn;
    turn.input.messages = conversation_->messages(round_);
    turn.input.enable_thinking = conversation_->rounds[round_].think;
    turn.sampling.seed = random_seed();
    return turn;
  }

  void keep(const smollm3::OutputEvent& output) {
    if (output.kind == smollm3::OutputEvent::Kind::Thinking) {
      if (!thinking_began_) thinking_began_ = Clock::now();
      answer().thinking += output.text;
      return;
    }
    if (thinking_began_ && !thinking_over_) answer().thinking_time = since(*thinking_began_);
    thinking_over_ = true;
    // No tools are offered here; a call that the model makes up all the same is shown as it wrote it.
    answer().text +=
        output.kind == smollm3::OutputEvent::Kind::Answer ? output.text : "\n```\n" + output.call.raw + "\n```\n";
  }

  void keep(const engine::Done& done) {
    answer().usage = done.usage;
    answer().finish = done.finish;
    answer().error = done.finish == engine::Finish::Failed ? done.error : "";
    finish(done.finish == engine::Finish::Failed      ? Answer::State::Failed
           : done.finish == engine::Finish::Cancelled ? Answer::State::Stopped
                                                      : Answer::State::Finished);
  }

  void finish(Answer::State state) {
    answer().state = state;
    answer().ahead = 0;
    conversation_->used = Clock::now();
  }

  std::shared_ptr<Conversation> conversation_;
  std::size_t round_;
  Generation generation_;
  std::optional<Clock::time_point> thinking_began_;
  bool thinking_over_ = false;
};

Chat::Chat(engine::Engine& engine)
    : engine_(engine),
      facts_{.name = engine.model_name(),
             .device = engine.device_name(),
             .mode = engine.mode(),
             .context = engine.context()} {}

Awaitable<void> Chat::new_page(Exchange& exchange) {
  Conversation empty;
  empty.id = Conversations::new_id();
  Response response = html(200, chat_page(empty, facts_));
  co_await exchange.respond(std::move(response));
}

Awaitable<void> Chat::page(Exchange& exchange, const std::string& id) {
  const auto conversation = conversations_.find(id);
  Response response =
      conversation
          ? html(200, chat_page(*conversation, facts_))
          : html(404,
                 error_page(
                     404, "This conversation is not kept any more: the server was restarted, or it was too long ago."));
  co_await exchange.respond(std::move(response));
}

Response Chat::accept(const Request& request, const std::string& id) {
  auto fields = parse_form(request.body);
  std::string text = clean_text(fields["text"]);
  if (trimmed(text).empty()) text = clean_text(fields["example"]);
  text = trimmed(text);
  const auto conversation = conversations_.find(id);
  const std::size_t rounds = conversation ? conversation->rounds.size() : 0;

  if (text.empty()) return {.status = 204};
  if (characters(text) > most_text) {
    return html(413, notice_fragment("The message is too long: it may have " + std::to_string(most_text) +
                                     " characters. Send it in parts."));
  }
  if (fields["round"] != std::to_string(rounds)) {
    if (rounds == 0) {
      return html(
          410,
          notice_fragment(
              "The server was restarted and has forgotten this conversation. Your message was not sent; copy it, and",
              "/", "start a new chat."));
    }
    return html(409,
                notice_fragment("This conversation went on in another window. Your message was not sent; copy it, and",
                                "/c/" + id, "load the conversation again."));
  }
  if (conversation && conversation->answering()) {
    return html(409,
                notice_fragment("The answer before is still being written. Wait for it, or stop it, and send again."));
  }
  if (conversation && conversation->bytes() + text.size() > most_conversation) {
    return html(
        413, notice_fragment("This conversation is too long to be kept. Your message was not sent; copy it, and", "/",
                             "start a new chat."));
  }
  const auto opened = conversations_.open(id);
  opened->rounds.push_back({.prompt = std::move(text), .think = fields.contains("think"), .answer = {}});
  return html(200, sent_fragment(*opened, facts_), {{"HX-Replace-Url", "/c/" + id}});
}

Awaitable<void> Chat::post_message(Exchange& exchange, const std::string& id) {
  Response response = accept(exchange.request(), id);
  co_await exchange.respond(std::move(response));
}

Awaitable<void> Chat::stop(Exchange& exchange, const std::string& id) {
  if (const auto conversation = conversations_.find(id); conversation && conversation->answering()) {
    conversation->rounds.back().answer.stop_asked = true;
  }
  Response done{.status = 204};
  co_await exchange.respond(std::move(done));
}

Awaitable<void> Chat::stream(Exchange& exchange, const std::string& id, std::size_t round) {
  const auto conversation = conversations_.find(id);
  if (!conversation || round >= conversation->rounds.size()) {
    Response response = html(404, notice_fragment("This conversation is not kept any more.", "/", "Start a new chat."));
    co_await exchange.respond(std::move(response));
    co_return;
  }
  co_await exchange.begin_stream();
  Answer& answer = conversation->rounds[round].answer;
  std::optional<Writer> writer;
  if (answer.state == Answer::State::Pending && answer.stop_asked) {
    answer.state = Answer::State::Stopped;
  } else if (answer.state == Answer::State::Pending) {
    try {
      writer.emplace(engine_, conversation, round, exchange.executor());
    } catch (const base::Error& error) {
      answer.state = Answer::State::Failed;
      answer.error = error.what();
    }
  }
  co_await follow(exchange, *conversation, round, writer ? &*writer : nullptr);
}

// Sends what changes until the answer is over. The writer, if this page is the one that asked, is fed from here.
Awaitable<void> Chat::follow(Exchange& exchange, Conversation& conversation, std::size_t round, Writer* writer) {
  AnswerView view(round, facts_);
  auto last_sent = Clock::now();
  while (true) {
    if (writer != nullptr) writer->take();
    if (writer != nullptr && !exchange.serving()) writer->cancel();
    const Round& current = conversation.rounds[round];
    const bool over = !current.answer.open();

    const auto rendering = Clock::now();
    std::string update = view.update(current);
    const auto took = Clock::now() - rendering;
    std::string events;
    if (!update.empty()) events += sse_event(update);
    if (view.just_thought()) events += sse_event("", "thought");
    if (over && current.answer.state == Answer::State::Failed) events += sse_event("", "failed");
    if (over) events += sse_event("", "done");
    if (events.empty() && Clock::now() - last_sent >= keep_alive_interval) events = ": waiting\n\n";
    const bool sent = !events.empty();
    if (sent) {
      last_sent = Clock::now();
      co_await exchange.send(std::move(events));
    }
    if (over) co_return;

    if (sent) co_await sleep(exchange, std::max<Clock::duration>(least_pause, took * render_share));
    if (writer != nullptr) {
      co_await writer->wait(200ms);
    } else {
      co_await sleep(exchange, 100ms);
    }
  }
}

}  // namespace server
