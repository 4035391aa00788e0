#include "server/saved_answer.h"

#include <array>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"

namespace server {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<engine::Finish, const char*>, 5> finishes = {{{engine::Finish::Stop, "stop"},
                                                                             {engine::Finish::Length, "length"},
                                                                             {engine::Finish::ToolCalls, "tool_calls"},
                                                                             {engine::Finish::Cancelled, "cancelled"},
                                                                             {engine::Finish::Failed, "failed"}}};

constexpr std::array<std::pair<base::ErrorKind, const char*>, 5> kinds = {{{base::ErrorKind::Input, "input"},
                                                                           {base::ErrorKind::TooLong, "too_long"},
                                                                           {base::ErrorKind::Busy, "busy"},
                                                                           {base::ErrorKind::Resource, "resource"},
                                                                           {base::ErrorKind::Internal, "internal"}}};

constexpr std::array<std::pair<smollm3::StreamStart, const char*>, 3> starts = {
    {{smollm3::StreamStart::Open, "open"},
     {smollm3::StreamStart::Thinking, "thinking"},
     {smollm3::StreamStart::Answer, "answer"}}};

template <typename Table, typename Value>
const char* name_in(const Table& table, Value value) {
  for (const auto& [known, name] : table) {
    if (known == value) return name;
  }
  return "";
}

template <typename Table>
auto value_in(const Table& table, const std::string& name) {
  for (const auto& [value, known] : table) {
    if (name == known) return value;
  }
  throw base::Error(base::ErrorKind::Internal, "store", "has '" + name + "', which nobody writes");
}

// Bytes that are not UTF-8 cannot be in JSON.
std::string text_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

json parse(const std::string& text) {
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object()) throw base::Error(base::ErrorKind::Internal, "store", "has JSON that is damaged");
  return value;
}

template <typename T>
void read(const json& object, const char* name, T& value) {
  if (const auto found = object.find(name); found != object.end()) found->get_to(value);
}

// Whatever nlohmann throws of a value of another type than was written.
template <typename Read>
auto reading(Read work) {
  try {
    return work();
  } catch (const json::exception& failure) {
    throw base::Error(base::ErrorKind::Internal, "store", failure.what());
  }
}

}  // namespace

std::string to_json(const Asked& asked) {
  json object = {
      {"think", asked.think}, {"model", asked.facts.name}, {"device", asked.facts.device}, {"mode", asked.facts.mode}};
  if (!asked.system.empty()) object["system"] = asked.system;
  return text_of(object);
}

Asked asked_from(const std::string& text) {
  return reading([&] {
    const json object = parse(text);
    Asked asked;
    read(object, "think", asked.think);
    read(object, "model", asked.facts.name);
    read(object, "device", asked.facts.device);
    read(object, "mode", asked.facts.mode);
    read(object, "system", asked.system);
    return asked;
  });
}

std::string to_json(const engine::Done& done) {
  const engine::Usage& usage = done.usage;
  json object = {{"finish", name_in(finishes, done.finish)},
                 {"usage",
                  {{"prompt_tokens", usage.prompt_tokens},
                   {"cached_tokens", usage.cached_tokens},
                   {"generated_tokens", usage.generated_tokens},
                   {"thinking_tokens", usage.thinking_tokens},
                   {"queue_seconds", usage.queue_seconds},
                   {"prompt_seconds", usage.prompt_seconds},
                   {"generate_seconds", usage.generate_seconds},
                   {"thinking_seconds", usage.thinking_seconds}}}};
  if (done.error) {
    object["error"] = {{"kind", name_in(kinds, done.error->kind())},
                       {"subject", done.error->subject()},
                       {"why", done.error->why()},
                       {"remedy", done.error->remedy()}};
  }
  return text_of(object);
}

engine::Done done_from(const std::string& text) {
  return reading([&] {
    const json object = parse(text);
    engine::Done done{.finish = value_in(finishes, object.at("finish").get<std::string>())};
    const json& usage = object.at("usage");
    read(usage, "prompt_tokens", done.usage.prompt_tokens);
    read(usage, "cached_tokens", done.usage.cached_tokens);
    read(usage, "generated_tokens", done.usage.generated_tokens);
    read(usage, "thinking_tokens", done.usage.thinking_tokens);
    read(usage, "queue_seconds", done.usage.queue_seconds);
    read(usage, "prompt_seconds", done.usage.prompt_seconds);
    read(usage, "generate_seconds", done.usage.generate_seconds);
    read(usage, "thinking_seconds", done.usage.thinking_seconds);
    if (const auto error = object.find("error"); error != object.end()) {
      done.error.emplace(value_in(kinds, error->at("kind").get<std::string>()), error->at("subject").get<std::string>(),
                         error->at("why").get<std::string>(), error->at("remedy").get<std::string>());
    }
    return done;
  });
}

json sampling_json(const engine::Sampling& sampling) {
  json bias = json::array();  // the same text for the same settings
  for (const auto& [token, value] : std::map(sampling.logit_bias.begin(), sampling.logit_bias.end())) {
    bias.push_back({token, value});
  }
  return {{"temperature", sampling.temperature},
          {"top_k", sampling.top_k},
          {"top_p", sampling.top_p},
          {"min_p", sampling.min_p},
          {"repetition_penalty", sampling.repetition_penalty},
          {"presence_penalty", sampling.presence_penalty},
          {"frequency_penalty", sampling.frequency_penalty},
          {"logit_bias", std::move(bias)},
          {"seed", sampling.seed}};
}

void read_sampling(const json& object, engine::Sampling& sampling) {
  read(object, "temperature", sampling.temperature);
  read(object, "top_k", sampling.top_k);
  read(object, "top_p", sampling.top_p);
  read(object, "min_p", sampling.min_p);
  read(object, "repetition_penalty", sampling.repetition_penalty);
  read(object, "presence_penalty", sampling.presence_penalty);
  read(object, "frequency_penalty", sampling.frequency_penalty);
  for (const json& bias : object.value("logit_bias", json::array())) {
    sampling.logit_bias.emplace(bias.at(0).get<engine::Token>(), bias.at(1).get<float>());
  }
  read(object, "seed", sampling.seed);
}

std::string settings_of(const engine::Request& request) {
  json object = sampling_json(request.sampling);
  object.update({{"max_tokens", request.limits.max_tokens},
                 {"stop", request.limits.stop},
                 {"room", request.limits.room},
                 {"tools_offered", request.tools_offered},
                 {"shared", request.shared}});
  if (request.limits.thinking_budget) object["thinking_budget"] = *request.limits.thinking_budget;
  if (request.chat) object["chat"] = name_in(starts, *request.chat);
  return text_of(object);
}

store::Tokens prompt_of(const engine::Request& request) {
  return {.ids = request.prompt, .generated = request.generated};
}

engine::Request request_from(const store::Unfinished& unfinished) {
  return reading([&] {
    const json object = parse(unfinished.settings);
    engine::Request request{.prompt = unfinished.prompt.ids, .generated = unfinished.prompt.generated};
    read_sampling(object, request.sampling);
    read(object, "max_tokens", request.limits.max_tokens);
    read(object, "stop", request.limits.stop);
    read(object, "room", request.limits.room);
    if (object.contains("thinking_budget"))
      request.limits.thinking_budget = object["thinking_budget"].get<std::uint32_t>();
    if (object.contains("chat")) request.chat = value_in(starts, object["chat"].get<std::string>());
    read(object, "tools_offered", request.tools_offered);
    read(object, "shared", request.shared);
    request.said = {.tokens = unfinished.said,
                    .generate_seconds = unfinished.writing_seconds,
                    .thinking_seconds = unfinished.thinking_seconds};
    return request;
  });
}

store::Fingerprint fingerprint_of(const ModelFacts& facts) {
  return {.tokenizer = facts.fingerprint.tokenizer, .whole = facts.fingerprint.whole};
}

store::Time now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

Answer answer_from(const store::Message& message) {
  Answer answer{.thinking = message.thinking, .text = message.text};
  if (!message.ended.empty()) answer.done = done_from(message.ended);
  if (message.condition == store::Condition::Interrupted) {
    answer.interrupted = true;
    answer.done.emplace(engine::Done{.finish = engine::Finish::Cancelled});
  }
  return answer;
}

}  // namespace server
