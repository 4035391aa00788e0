#include "server/completion_request.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "base/utf8.h"
#include "server/api_error.h"
#include "smollm3/chat_messages.h"

namespace server {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t most_salt = 256;
constexpr std::size_t most_stops = 16;

[[noreturn]] void wrong(const std::string& field, const std::string& should_be) {
  throw ApiError(400, "'" + field + "' must be " + should_be, field, "invalid_value");
}

[[noreturn]] void unsupported(const std::string& field, const std::string& message) {
  throw ApiError(400, "'" + field + "': " + message, field, "unsupported_value");
}

// The field's value, or nullptr if it is absent or null.
const ordered_json* find(const ordered_json& object, const char* field) {
  const auto found = object.find(field);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool read_bool(const ordered_json& object, const char* field, bool otherwise, const std::string& prefix = {}) {
  const ordered_json* value = find(object, field);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) wrong(prefix + field, "true or false");
  return value->get<bool>();
}

template <typename Number>
void read_number(const ordered_json& object, const char* field, double least, double most, Number& result) {
  const ordered_json* value = find(object, field);
  if (value == nullptr) return;
  const double number = value->is_number() ? value->get<double>() : std::numeric_limits<double>::quiet_NaN();
  if (!(number >= least && number <= most)) {
    char range[80];
    std::snprintf(range, sizeof range, "a number from %g to %g", least, most);
    wrong(field, range);
  }
  result = static_cast<Number>(number);
}

// Empty if it is absent.
std::string read_text(const ordered_json& object, const char* field) {
  const ordered_json* value = find(object, field);
  if (value == nullptr) return {};
  if (!value->is_string()) wrong(field, "a text");
  return value->get<std::string>();
}

void read_count(const ordered_json& object, const char* field, std::uint32_t least, std::uint32_t& result) {
  const ordered_json* value = find(object, field);
  if (value == nullptr) return;
  constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
  const bool fits =
      value->is_number_unsigned() && value->get<std::uint64_t>() >= least && value->get<std::uint64_t>() <= most;
  if (!fits) wrong(field, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
  result = value->get<std::uint32_t>();
}

ordered_json parse_json(std::string_view body) {
  if (!smollm3::within_json_bounds(body)) {
    throw ApiError(400, "the request is nested too deeply, or an object in it has too many keys", {}, "invalid_json");
  }
  try {
    return ordered_json::parse(body);
  } catch (const ordered_json::exception& error) {
    const std::string_view why = error.what();  // quotes what is wrong, of any length
    throw ApiError(400, "the request's body is not JSON: " + std::string(why.substr(0, base::utf8::cut(why, 300))), {},
                   "invalid_json");
  }
}

ordered_json read_messages(const ordered_json& object) {
  const ordered_json* messages = find(object, "messages");
  if (messages == nullptr || !messages->is_array() || messages->empty())
    wrong("messages", "a list with at least one message");
  for (std::size_t i = 0; i < messages->size(); ++i) {
    const std::string name = "messages[" + std::to_string(i) + "]";
    const ordered_json& message = (*messages)[i];
    if (!message.is_object()) wrong(name, "an object");
    const ordered_json* role = find(message, "role");
    if (role == nullptr || !role->is_string()) wrong(name + ".role", "a text");
    const ordered_json* content = find(message, "content");
    if (content != nullptr && !content->is_string() && !content->is_array())
      wrong(name + ".content", "a text or a list of parts");
  }
  return *messages;
}

// Tools the model is told of; null if there are none or it may not call any.
ordered_json read_tools(const ordered_json& object) {
  const ordered_json* tools = find(object, "tools");
  if (tools != nullptr) {
    if (!tools->is_array()) wrong("tools", "a list");
    for (std::size_t i = 0; i < tools->size(); ++i) {
      const ordered_json& tool = (*tools)[i];
      const ordered_json* function = tool.is_object() ? find(tool, "function") : nullptr;
      const ordered_json* name = function != nullptr && function->is_object() ? find(*function, "name") : nullptr;
      if (name == nullptr || !name->is_string()) {
        wrong("tools[" + std::to_string(i) + "]",
              "an object with \"type\": \"function\" and a \"function\" that has a name");
      }
    }
  }
  if (const ordered_json* choice = find(object, "tool_choice")) {
    if (*choice == "none") return nullptr;
    if (*choice != "auto") unsupported("tool_choice", "only \"auto\" and \"none\" are supported");
  }
  return tools == nullptr || tools->empty() ? ordered_json(nullptr) : *tools;
}

void read_thinking(const ordered_json& object, smollm3::ChatInput& input) {
  if (const ordered_json* effort = find(object, "reasoning_effort")) {
    if (!effort->is_string()) wrong("reasoning_effort", "a text");
    input.enable_thinking = *effort != "none";
  }
  const ordered_json* variables = find(object, "chat_template_kwargs");
  if (variables == nullptr) return;
  if (!variables->is_object()) wrong("chat_template_kwargs", "an object");
  input.enable_thinking = read_bool(*variables, "enable_thinking", input.enable_thinking, "chat_template_kwargs.");
  input.extra = ordered_json::object();
  for (const auto& [name, value] : variables->items()) {
    if (name == "python_tools") {
      if (!value.is_null() && !value.is_array()) wrong("chat_template_kwargs.python_tools", "a list");
      input.python_tools = value;
    } else if (name != "enable_thinking" && name != "messages" && name != "tools" && name != "xml_tools" &&
               name != "add_generation_prompt") {
      input.extra[name] = value;
    }
  }
}

std::vector<std::string> read_stop(const ordered_json& object) {
  const ordered_json* stop = find(object, "stop");
  if (stop == nullptr) return {};
  if (stop->is_string()) return {stop->get<std::string>()};
  std::vector<std::string> texts;
  if (!stop->is_array() || stop->size() > most_stops)
    wrong("stop", "a text or a list of at most " + std::to_string(most_stops) + " texts");
  for (const ordered_json& text : *stop) {
    if (!text.is_string()) wrong("stop", "a text or a list of texts");
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

void read_logit_bias(const ordered_json& object, engine::Sampling& sampling) {
  const ordered_json* bias = find(object, "logit_bias");
  if (bias == nullptr) return;
  const char* form = "an object from token ids to numbers from -100 to 100";
  if (!bias->is_object()) wrong("logit_bias", form);
  for (const auto& [key, value] : bias->items()) {
    const bool digits = !key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || !value.is_number() || !(std::abs(value.get<double>()) <= 100)) wrong("logit_bias", form);
    sampling.logit_bias[std::stoi(key)] = value.get<float>();
  }
}

std::uint64_t read_seed(const ordered_json& object) {
  const ordered_json* seed = find(object, "seed");
  if (seed == nullptr) {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
  }
  if (!seed->is_number_integer()) wrong("seed", "an integer");
  return seed->is_number_unsigned() ? seed->get<std::uint64_t>()
                                    : static_cast<std::uint64_t>(seed->get<std::int64_t>());
}

engine::Sampling read_sampling(const ordered_json& object) {
  engine::Sampling sampling;
  read_number(object, "temperature", 0, 2, sampling.temperature);
  read_number(object, "top_p", 0, 1, sampling.top_p);
  read_number(object, "min_p", 0, 1, sampling.min_p);
  read_count(object, "top_k", 0, sampling.top_k);
  read_number(object, "presence_penalty", -2, 2, sampling.presence_penalty);
  read_number(object, "frequency_penalty", -2, 2, sampling.frequency_penalty);
  read_number(object, "repetition_penalty", 0.01, 10, sampling.repetition_penalty);
  read_logit_bias(object, sampling);
  sampling.seed = read_seed(object);
  return sampling;
}

void refuse_unsupported(const ordered_json& object) {
  if (const ordered_json* n = find(object, "n"); n != nullptr && *n != 1)
    unsupported("n", "only 1 answer per request is supported");
  if (read_bool(object, "logprobs", false)) unsupported("logprobs", "token probabilities are not supported");
  if (const ordered_json* format = find(object, "response_format")) {
    if (!format->is_object() || format->value("type", ordered_json("text")) != "text") {
      unsupported("response_format", "only {\"type\": \"text\"} is supported");
    }
  }
}

}  // namespace

CompletionRequest parse_completion_request(std::string_view body) {
  const ordered_json object = parse_json(body);
  if (!object.is_object()) throw ApiError(400, "the request's body must be a JSON object", {}, "invalid_json");
  if (const ordered_json* model = find(object, "model"); model != nullptr && !model->is_string())
    wrong("model", "a text");
  refuse_unsupported(object);

  CompletionRequest request;
  request.turn.input.messages = read_messages(object);
  request.turn.input.tools = read_tools(object);
  read_thinking(object, request.turn.input);
  request.turn.sampling = read_sampling(object);
  read_count(object, "max_tokens", 1, request.turn.limits.max_tokens);
  read_count(object, "max_completion_tokens", 1, request.turn.limits.max_tokens);
  request.turn.limits.stop = read_stop(object);
  read_number(object, "deadline_seconds", 0.001, 1e6, request.turn.limits.deadline);
  request.turn.asker.account = read_text(object, "cache_salt");
  if (request.turn.asker.account.size() > most_salt) {
    wrong("cache_salt", "a text of at most " + std::to_string(most_salt) + " bytes");
  }
  request.stream = read_bool(object, "stream", false);
  if (const ordered_json* options = find(object, "stream_options")) {
    if (!options->is_object()) wrong("stream_options", "an object");
    request.include_usage = read_bool(*options, "include_usage", false, "stream_options.");
  }
  return request;
}

}  // namespace server
