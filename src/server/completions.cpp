#include "server/completions.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "server/api_error.h"
#include "server/completion_request.h"
#include "server/http_text.h"
#include "server/journal_reader.h"
#include "server/log.h"

namespace server {
namespace {

using nlohmann::ordered_json;
using namespace std::chrono_literals;

// Nothing to say for so long: a comment keeps the connection open through proxies, and shows when the client is gone.
constexpr auto keep_alive_interval = 5s;

ordered_json usage_json(const engine::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.generated_tokens},
          {"total_tokens", usage.prompt_tokens + usage.generated_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

ordered_json timings_json(const engine::Usage& usage, const ModelFacts& facts) {
  return {{"mode", facts.mode},
          {"device", facts.device},
          {"queue_seconds", usage.queue_seconds},
          {"prompt_seconds", usage.prompt_seconds},
          {"prompt_tokens_per_second", usage.prompt_speed()},
          {"generate_seconds", usage.generate_seconds},
          {"generate_tokens_per_second", usage.generate_speed()}};
}

ordered_json call_json(const smollm3::ToolCall& call) {
  return {{"id", "call_" + random_hex(12)},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", json_text(call.arguments)}}}};
}

// Of an answer that came to a proper end.
const char* finish_reason(const engine::Done& done) {
  switch (done.finish) {
    case engine::Finish::Length:
      return "length";
    case engine::Finish::ToolCalls:
      return "tool_calls";
    case engine::Finish::Stop:
    case engine::Finish::Cancelled:
    case engine::Finish::Failed:
      return "stop";
  }
  return "stop";
}

// Why an answer came to no proper end; nothing if it did.
std::exception_ptr failure_of(const engine::Done& done) {
  if (done.finish == engine::Finish::Cancelled) {
    // By the server: a client that does not want its answer any more does not read its end either.
    return std::make_exception_ptr(ApiError(503, "the server is shutting down", {}, "shutting_down"));
  }
  if (done.finish != engine::Finish::Failed) return nullptr;
  return done.error ? std::make_exception_ptr(*done.error) : std::make_exception_ptr(std::runtime_error("no reason"));
}

constexpr const char* id_prefix = "chatcmpl-";

// What every object of one answer has in common.
class Envelope {
 public:
  Envelope(const ModelFacts& facts, const char* object, const std::string& generation)
      : head_{{"id", id_prefix + generation},
              {"object", object},
              {"created",
               std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
                   .count()},
              {"model", facts.name},
              {"system_fingerprint", "smollm3-" + facts.mode}} {}

  ordered_json with(ordered_json choices) const {
    ordered_json object = head_;
    object["choices"] = std::move(choices);
    return object;
  }

 private:
  ordered_json head_;
};

class WholeAnswer {
 public:
  void add(std::vector<engine::Event> events) {
    for (engine::Event& event : events) {
      if (const auto* thought = std::get_if<engine::Thinking>(&event.what)) {
        thinking_ += thought->text;
      } else if (const auto* part = std::get_if<engine::Answer>(&event.what)) {
        text_ += part->text;
      } else if (const auto* call = std::get_if<smollm3::ToolCall>(&event.what)) {
        calls_.push_back(call_json(*call));
      } else {
        done_ = std::get<engine::Done>(std::move(event.what));
      }
    }
  }

  // Once Done was added. Throws what the answer failed of.
  ordered_json json(const ModelFacts& facts, const std::string& generation) const {
    if (const std::exception_ptr failure = failure_of(done_)) std::rethrow_exception(failure);
    ordered_json message{{"role", "assistant"}, {"content", nullptr}, {"refusal", nullptr}};
    if (calls_.empty() || !text_.empty()) message["content"] = text_;
    if (!thinking_.empty()) message["reasoning_content"] = thinking_;
    if (!calls_.empty()) message["tool_calls"] = calls_;
    ordered_json choice{
        {"index", 0}, {"message", std::move(message)}, {"logprobs", nullptr}, {"finish_reason", finish_reason(done_)}};
    ordered_json answer = Envelope(facts, "chat.completion", generation).with(ordered_json::array({std::move(choice)}));
    answer["usage"] = usage_json(done_.usage);
    answer["timings"] = timings_json(done_.usage, facts);
    return answer;
  }

 private:
  std::string thinking_, text_;
  ordered_json calls_ = ordered_json::array();
  engine::Done done_;
};

class DeltaStream {
 public:
  DeltaStream(const ModelFacts& facts, const std::string& generation, bool include_usage)
      : facts_(facts), envelope_(facts, "chat.completion.chunk", generation), include_usage_(include_usage) {}

  std::string begin() const { return delta({{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}); }

  // The pieces of the stream that say the same.
  std::string pieces(const std::vector<engine::Event>& events) {
    std::string text;
    for (const engine::Event& event : events) {
      if (const auto* thought = std::get_if<engine::Thinking>(&event.what)) {
        text += delta({{"reasoning_content", thought->text}});
      } else if (const auto* part = std::get_if<engine::Answer>(&event.what)) {
        text += delta({{"content", part->text}});
      } else if (const auto* made = std::get_if<smollm3::ToolCall>(&event.what)) {
        ordered_json call{{"index", calls_++}};
        call.update(call_json(*made));
        text += delta({{"tool_calls", ordered_json::array({call})}});
      } else {
        text += end(std::get<engine::Done>(event.what));
      }
    }
    return text;
  }

 private:
  std::string delta(ordered_json content) const {
    ordered_json choice{{"index", 0}, {"delta", std::move(content)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
    ordered_json chunk = envelope_.with(ordered_json::array({choice}));
    if (include_usage_) chunk["usage"] = nullptr;
    return sse_event(json_text(chunk));
  }

  // The status was sent long ago, so a failure is an event too.
  static std::string failure_event(const std::exception_ptr& failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      if (belongs_into_log(error)) log_error(error.what());
      return sse_event(json_text(error_json(told_to_client(error))));
    }
  }

  std::string end(const engine::Done& done) const {
    if (const std::exception_ptr failure = failure_of(done)) return failure_event(failure);
    ordered_json choice{
        {"index", 0}, {"delta", ordered_json::object()}, {"logprobs", nullptr}, {"finish_reason", finish_reason(done)}};
    ordered_json last = envelope_.with(ordered_json::array({choice}));
    if (include_usage_) last["usage"] = nullptr;
    last["timings"] = timings_json(done.usage, facts_);
    std::string text = sse_event(json_text(last));
    if (include_usage_) {
      ordered_json usage = envelope_.with(ordered_json::array());
      usage["usage"] = usage_json(done.usage);
      text += sse_event(json_text(usage));
    }
    return text + sse_event("[DONE]");
  }

  const ModelFacts& facts_;
  Envelope envelope_;
  bool include_usage_;
  int calls_ = 0;
};

// Returns when it is known whether the request can be answered: that takes rendering and tokenising it.
Awaitable<engine::Journal::Reading> first_reading(JournalReader& reader) {
  while (true) {
    engine::Journal::Reading reading = reader.read();
    if (reading.over || !reading.events.empty() || reading.progress.prompt_tokens > 0) co_return reading;
    co_await reader.wait(keep_alive_interval);
  }
}

Awaitable<void> answer_whole(Exchange& exchange, JournalReader& reader, const ModelFacts& facts,
                             const std::string& generation) {
  WholeAnswer whole;
  engine::Journal::Reading reading = reader.read();
  while (true) {
    whole.add(std::move(reading.events));
    if (reading.over) break;
    co_await reader.wait(keep_alive_interval);
    reading = reader.read();
  }
  Response response = json_response(200, whole.json(facts, generation));
  co_await exchange.respond(std::move(response));
}

// What a stream says while there is nothing of the answer to send.
std::string comment_on(const engine::Progress& progress) {
  switch (progress.state) {
    case engine::State::Queued:
      return progress.wait_seconds == 0
                 ? fmt::format(": waiting, {} ahead\n\n", progress.ahead)
                 : fmt::format(": waiting, {} ahead, about {} s\n\n", progress.ahead, progress.wait_seconds);
    case engine::State::Reading:
      return fmt::format(": reading, {} of {} tokens\n\n", progress.prompt_done, progress.prompt_tokens);
    case engine::State::Paused:
      return ": paused\n\n";
    case engine::State::Writing:
    case engine::State::Done:
      return ": writing\n\n";
  }
  return ":\n\n";
}

Awaitable<void> answer_stream(Exchange& exchange, JournalReader& reader, const ModelFacts& facts,
                              const std::string& generation, bool include_usage) {
  engine::Journal::Reading reading = co_await first_reading(reader);
  if (reading.over && reading.events.size() == 1) {  // nothing but Done: the status can still tell of a failure
    const std::exception_ptr failure = failure_of(std::get<engine::Done>(reading.events.front().what));
    if (failure) std::rethrow_exception(failure);
  }
  DeltaStream stream(facts, generation, include_usage);
  co_await exchange.begin_stream();
  std::string text = stream.begin();
  auto last_sent = std::chrono::steady_clock::now();
  while (true) {
    text += stream.pieces(reading.events);
    // Progress wakes the reader too, and is nothing to send.
    const auto now = std::chrono::steady_clock::now();
    if (text.empty() && now - last_sent >= keep_alive_interval) text = comment_on(reading.progress);
    if (!text.empty()) {
      last_sent = now;
      co_await exchange.send(std::move(text));
    }
    if (reading.over) co_return;
    co_await reader.wait(keep_alive_interval);
    text.clear();
    reading = reader.read();
  }
}

}  // namespace

// A generation that nobody wants once this goes, as when the client left; until then it is found.
class Completions::Wanted {
 public:
  Wanted(Completions& all, UnderWay one)
      : all_(all), entry_(all.under_way_.emplace(one.generation->id(), std::move(one)).first) {}
  ~Wanted() {
    if (!generation()->journal().over()) generation()->cancel();
    all_.under_way_.erase(entry_);
  }
  Wanted(const Wanted&) = delete;
  Wanted& operator=(const Wanted&) = delete;

  const std::shared_ptr<engine::Generation>& generation() const { return entry_->second.generation; }

 private:
  Completions& all_;
  std::map<std::string, UnderWay>::iterator entry_;
};

Awaitable<void> Completions::answer(Exchange& exchange, const Visitor& visitor) {
  std::string body = exchange.take_body();
  CompletionRequest request = parse_completion_request(body);
  std::string().swap(body);
  engine::Asker& asker = request.turn.asker;
  // What tells apart whom a gateway serves does so within an account: no account's name has a slash.
  if (!asker.account.empty()) asker.account = "/" + asker.account;
  asker = {.client = visitor.client(exchange.request()), .account = visitor.salt() + asker.account};
  const std::shared_ptr<const ModelFacts> facts = engines_.facts();
  const Wanted wanted(*this, {visitor.account, engines_.start(std::move(request.turn))});
  const std::string& id = wanted.generation()->id();
  JournalReader reader(wanted.generation(), exchange.executor());
  if (request.stream) {
    co_await answer_stream(exchange, reader, *facts, id, request.include_usage);
  } else {
    co_await answer_whole(exchange, reader, *facts, id);
  }
}

Response Completions::control(const Visitor& visitor, const std::string& id, const std::string& action) const {
  const std::string_view given = id;
  const bool has_prefix = given.starts_with(id_prefix);
  const auto found = under_way_.find(has_prefix ? id.substr(std::string_view(id_prefix).size()) : id);
  if (found == under_way_.end() || found->second.account != visitor.account ||
      found->second.generation->journal().over()) {
    throw ApiError(404, "there is no such answer under way", "id", "not_found");
  }
  engine::Generation& generation = *found->second.generation;
  if (action == "pause") {
    generation.pause();
  } else if (action == "resume") {
    generation.resume();
  } else if (action == "finish_thinking") {
    generation.finish_thinking();
  } else {
    throw ApiError(404, "an answer can be asked to pause, to resume or to finish_thinking", {}, "not_found");
  }
  return json_response(
      202, {{"id", id_prefix + generation.id()}, {"object", "chat.completion.control"}, {"action", action}});
}

}  // namespace server
