#include "server/completions.h"

#include <chrono>
#include <memory>

#include "base/error.h"
#include "server/api_error.h"
#include "server/completion_request.h"
#include "server/generation.h"
#include "server/http_text.h"

namespace server {
namespace {

using nlohmann::ordered_json;
using smollm3::OutputEvent;
using namespace std::chrono_literals;

// Nothing to say for so long: a comment keeps the connection open through proxies, and shows when the client is gone.
constexpr auto keep_alive_interval = 5s;

// What waits takes memory, and its users patience.
constexpr std::uint32_t longest_queue = 256;

ordered_json usage_json(const engine::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.generated_tokens},
          {"total_tokens", usage.prompt_tokens + usage.generated_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

ordered_json timings_json(const engine::Usage& usage, const engine::Engine& engine) {
  return {{"mode", engine.mode()},
          {"device", engine.device_name()},
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

const char* finish_reason(const engine::Done& done) {
  if (done.finish == engine::Finish::Length) return "length";
  return done.called_tools ? "tool_calls" : "stop";
}

// Of an answer that came to no proper end.
ApiError failure_of(const engine::Done& done) {
  if (done.finish == engine::Finish::Cancelled) return {503, "the server is shutting down", {}, "shutting_down"};
  return {500, done.error, {}, "generation_failed"};
}

bool ended_well(const engine::Done& done) {
  return done.finish == engine::Finish::Stop || done.finish == engine::Finish::Length;
}

std::unique_ptr<Generation> start(engine::Engine& engine, const engine::Turn& turn, Exchange& exchange) {
  if (engine.load().waiting >= longest_queue) {
    throw ApiError(503, "too many requests are waiting; try again later", {}, "overloaded");
  }
  try {
    return std::make_unique<Generation>(engine, turn, exchange.executor());
  } catch (const base::Error& error) {
    const bool too_long = error.subject() == "conversation";
    throw ApiError(400, error.what(), too_long ? "messages" : "", too_long ? "context_length_exceeded" : "");
  }
}

// What every object of one answer has in common.
class Envelope {
 public:
  Envelope(const engine::Engine& engine, const char* object)
      : head_{{"id", "chatcmpl-" + random_hex(12)},
              {"object", object},
              {"created",
               std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
                   .count()},
              {"model", engine.model_name()},
              {"system_fingerprint", "smollm3-" + engine.mode()}} {}

  ordered_json with(ordered_json choices) const {
    ordered_json object = head_;
    object["choices"] = std::move(choices);
    return object;
  }

 private:
  ordered_json head_;
};

ordered_json whole_answer(const engine::Engine& engine, const engine::Done& done, const std::string& thinking,
                          const std::string& text, const ordered_json& calls) {
  ordered_json message{{"role", "assistant"}, {"content", nullptr}, {"refusal", nullptr}};
  if (calls.empty() || !text.empty()) message["content"] = text;
  if (!thinking.empty()) message["reasoning_content"] = thinking;
  if (!calls.empty()) message["tool_calls"] = calls;
  ordered_json choice{
      {"index", 0}, {"message", std::move(message)}, {"logprobs", nullptr}, {"finish_reason", finish_reason(done)}};
  ordered_json answer = Envelope(engine, "chat.completion").with(ordered_json::array({std::move(choice)}));
  answer["usage"] = usage_json(done.usage);
  answer["timings"] = timings_json(done.usage, engine);
  return answer;
}

Awaitable<void> answer_whole(engine::Engine& engine, Exchange& exchange, Generation& generation) {
  std::string thinking, text;
  ordered_json calls = ordered_json::array();
  while (true) {
    co_await generation.wait(1s);
    if (!exchange.serving()) generation.cancel();
    for (engine::TurnEvent& event : generation.take()) {
      if (auto* output = std::get_if<OutputEvent>(&event)) {
        if (output->kind == OutputEvent::Kind::ToolCall) {
          calls.push_back(call_json(output->call));
        } else {
          (output->kind == OutputEvent::Kind::Thinking ? thinking : text) += output->text;
        }
        continue;
      }
      const auto* done = std::get_if<engine::Done>(&event);
      if (done == nullptr) continue;
      if (!ended_well(*done)) throw failure_of(*done);
      Response response = json_response(200, whole_answer(engine, *done, thinking, text, calls));
      co_await exchange.respond(std::move(response));
      co_return;
    }
  }
}

class DeltaStream {
 public:
  DeltaStream(const engine::Engine& engine, bool include_usage)
      : engine_(engine), envelope_(engine, "chat.completion.chunk"), include_usage_(include_usage) {}

  std::string begin() const { return delta({{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}); }

  // The events that tell of it.
  std::string tell(const engine::TurnEvent& event) {
    if (const auto* output = std::get_if<OutputEvent>(&event)) {
      if (output->kind == OutputEvent::Kind::Thinking) return delta({{"reasoning_content", output->text}});
      if (output->kind == OutputEvent::Kind::Answer) return delta({{"content", output->text}});
      ordered_json call{{"index", calls_++}};
      call.update(call_json(output->call));
      return delta({{"tool_calls", ordered_json::array({call})}});
    }
    const auto* done = std::get_if<engine::Done>(&event);
    return done == nullptr ? std::string{} : end(*done);
  }

 private:
  std::string delta(ordered_json content, const char* finish = nullptr) const {
    ordered_json choice{{"index", 0}, {"delta", std::move(content)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
    if (finish != nullptr) choice["finish_reason"] = finish;
    ordered_json chunk = envelope_.with(ordered_json::array({choice}));
    if (include_usage_) chunk["usage"] = nullptr;
    return sse_event(json_text(chunk));
  }

  std::string end(const engine::Done& done) const {
    if (!ended_well(done)) return sse_event(json_text(error_json(failure_of(done))));
    ordered_json choice{
        {"index", 0}, {"delta", ordered_json::object()}, {"logprobs", nullptr}, {"finish_reason", finish_reason(done)}};
    ordered_json last = envelope_.with(ordered_json::array({choice}));
    if (include_usage_) last["usage"] = nullptr;
    last["timings"] = timings_json(done.usage, engine_);
    std::string text = sse_event(json_text(last));
    if (include_usage_) {
      ordered_json usage = envelope_.with(ordered_json::array());
      usage["usage"] = usage_json(done.usage);
      text += sse_event(json_text(usage));
    }
    return text + sse_event("[DONE]");
  }

  const engine::Engine& engine_;
  Envelope envelope_;
  bool include_usage_;
  int calls_ = 0;
};

Awaitable<void> answer_stream(engine::Engine& engine, Exchange& exchange, Generation& generation, bool include_usage) {
  DeltaStream stream(engine, include_usage);
  co_await exchange.begin_stream();
  co_await exchange.send(stream.begin());
  auto last_sent = std::chrono::steady_clock::now();
  for (bool over = false; !over;) {
    co_await generation.wait(1s);
    if (!exchange.serving()) generation.cancel();
    std::string text;
    for (const engine::TurnEvent& event : generation.take()) {
      text += stream.tell(event);
      over = over || std::holds_alternative<engine::Done>(event);
    }
    const auto now = std::chrono::steady_clock::now();
    if (text.empty() && now - last_sent >= keep_alive_interval) text = ": waiting\n\n";
    if (text.empty()) continue;
    last_sent = now;
    co_await exchange.send(std::move(text));
  }
}

}  // namespace

Awaitable<void> answer_completion(engine::Engine& engine, Exchange& exchange) {
  std::string body = exchange.take_body();
  CompletionRequest request = parse_completion_request(body);
  std::string().swap(body);
  const std::unique_ptr<Generation> generation = start(engine, request.turn, exchange);
  request.turn = {};  // it may be large, and the answer far off
  if (request.stream) {
    co_await answer_stream(engine, exchange, *generation, request.include_usage);
  } else {
    co_await answer_whole(engine, exchange, *generation);
  }
}

}  // namespace server
