#include "smollm3/chat_messages.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "jinja/python.h"

namespace smollm3 {
namespace {

using jinja::Text;
using jinja::Value;
using nlohmann::ordered_json;

constexpr std::size_t max_json_depth = 100;
constexpr std::size_t max_json_keys = 1000;

// Reads JSON without keeping it; ends at what is not JSON or beyond the bounds. (A callback of the ordinary parser
// could do that as well, but takes quadratic time over a list of objects.)
class BoundsCheck : public nlohmann::json_sax<ordered_json> {
 public:
  bool exceeded() const { return exceeded_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t&) override { return within(++keys_.back() <= max_json_keys); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  bool open() {
    keys_.push_back(0);
    return within(keys_.size() <= max_json_depth);
  }
  bool close() {
    keys_.pop_back();
    return true;
  }
  bool within(bool fine) {
    exceeded_ = exceeded_ || !fine;
    return fine;
  }

  std::vector<std::size_t> keys_;  // so far, of each object or list that is open
  bool exceeded_ = false;
};

std::string subject(std::size_t i) { return "message " + std::to_string(i); }

std::string role_of(const ordered_json& message, std::size_t i) {
  if (!message.is_object())
    throw base::Error(subject(i), "it is not an object", "give each message a role and content");
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) {
    throw base::Error(subject(i), "it has no role", "use system, user, assistant or tool");
  }
  std::string name = role->get<std::string>();
  if (name == "developer") return "system";
  if (name != "system" && name != "user" && name != "assistant" && name != "tool") {
    throw base::Error(subject(i), "there is no role \"" + name + "\"", "use system, user, assistant or tool");
  }
  return name;
}

std::string part_text(const ordered_json& part, std::size_t i) {
  if (part.is_string()) return part.get<std::string>();
  const auto type = part.is_object() ? part.find("type") : part.end();
  const std::string kind = part.is_object() && type != part.end() && type->is_string() ? type->get<std::string>() : "";
  if (kind != "text") {
    throw base::Error(subject(i), "it has a part of type \"" + kind + "\"",
                      "this model reads text only: send parts of type text");
  }
  const auto text = part.find("text");
  if (text == part.end() || !text->is_string())
    throw base::Error(subject(i), "a part of type text holds no text", "add it");
  return text->get<std::string>();
}

std::string content_of(const ordered_json& message, std::size_t i) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) return "";
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    throw base::Error(subject(i), "its content is neither a string nor a list of parts", "send it as a string");
  }
  std::string text;
  for (const auto& part : *content) text += part_text(part, i);
  return text;
}

Text with_trusted_tags(const std::string& content, std::span<const std::string_view> tags) {
  Text text = Text::from_input(content);
  for (std::size_t at = content.find('<'); at != std::string::npos; at = content.find('<', at + 1)) {
    for (const std::string_view tag : tags) {
      if (std::string_view(content).substr(at).starts_with(tag)) text.trust(at, at + tag.size());
    }
  }
  return text;
}

struct PastCall {
  std::string name;
  ordered_json arguments;  // an object, or what a caller wrote instead
};

PastCall past_call(const ordered_json& call, std::size_t i) {
  const ordered_json* function = &call;
  if (call.is_object() && call.contains("function")) function = &call["function"];
  if (!function->is_object() || !function->contains("name") || !(*function)["name"].is_string()) {
    throw base::Error(subject(i), "a tool call has no function name",
                      "send calls as {\"function\": {\"name\", \"arguments\"}}");
  }
  const ordered_json given = function->contains("arguments") ? (*function)["arguments"] : ordered_json::object();
  ordered_json arguments = call_arguments(given);
  if (arguments.is_discarded()) arguments = given;
  return {(*function)["name"].get<std::string>(), std::move(arguments)};
}

// As the model writes its calls: each between tags of its own, after what it says.
void append_calls(Text& content, const ordered_json& calls, std::size_t i) {
  for (const auto& call : calls) {
    const PastCall past = past_call(call, i);
    if (!content.empty() && content.bytes().back() != '\n') content.append("\n", false);
    content.append("<tool_call>", true);
    content.append("\n{\"name\": " + jinja::to_json(Value::input(past.name)) + ", \"arguments\": ", false);
    content.append(jinja::to_json(Value::from_json(past.arguments)) + "}\n", false);
    content.append("</tool_call>", true);
  }
}

Value kept_calls(const ordered_json& calls, std::size_t i) {
  ordered_json out = ordered_json::array();
  for (const auto& call : calls) {
    PastCall past = past_call(call, i);
    ordered_json kept = call.contains("function") ? call : ordered_json{{"type", "function"}};
    kept["function"] = {{"name", past.name}, {"arguments", std::move(past.arguments)}};
    out.push_back(std::move(kept));
  }
  return Value::from_json(out);
}

Value normalized(const ordered_json& message, const std::string& role, std::size_t i, const MessageRules& rules) {
  jinja::Dict out;
  out.set("role", Value::input(role));
  Text content = role == "assistant" ? with_trusted_tags(content_of(message, i), rules.trusted_tags)
                                     : Text::from_input(content_of(message, i));
  const auto calls = message.find("tool_calls");
  const bool has_calls = role == "assistant" && calls != message.end() && !calls->is_null();
  if (has_calls && !calls->is_array()) throw base::Error(subject(i), "its tool_calls are not a list", "send a list");
  if (has_calls && !rules.keep_tool_calls) append_calls(content, *calls, i);
  out.set("content", Value(std::move(content)));
  for (const auto& [key, value] : message.items()) {
    if (key == "role" || key == "content" || key == "reasoning_content" || key == "tool_calls") continue;
    out.set(key, Value::from_json(value));
  }
  if (has_calls && rules.keep_tool_calls) out.set("tool_calls", kept_calls(*calls, i));
  return Value::dict(std::move(out));
}

}  // namespace

bool within_json_bounds(std::string_view text) {
  BoundsCheck check;
  ordered_json::sax_parse(text.begin(), text.end(), &check);
  return !check.exceeded();
}

ordered_json parse_bounded(std::string_view text) {
  if (!within_json_bounds(text)) return ordered_json(ordered_json::value_t::discarded);
  return ordered_json::parse(text.begin(), text.end(), nullptr, false);
}

ordered_json call_arguments(const ordered_json& arguments) {
  ordered_json out = arguments.is_string() ? parse_bounded(arguments.get_ref<const std::string&>()) : arguments;
  return out.is_object() ? out : ordered_json(ordered_json::value_t::discarded);
}

Value normalized_messages(const ordered_json& messages, const MessageRules& rules) {
  if (!messages.is_array() || messages.empty()) {
    throw base::Error("messages", "there are none", "send a list with at least one message");
  }
  std::string system;
  std::size_t first = 0;
  for (; first < messages.size() && role_of(messages[first], first) == "system"; ++first) {
    const std::string content = content_of(messages[first], first);
    if (!system.empty() && !content.empty()) system += "\n\n";
    system += content;
  }
  jinja::Values out;
  if (first > 0) {
    jinja::Dict merged;
    merged.set("role", Value::input("system"));
    merged.set("content", Value::input(system));
    out.push_back(Value::dict(std::move(merged)));
  }
  for (std::size_t i = first; i < messages.size(); ++i) {
    const std::string role = role_of(messages[i], i);
    if (role == "system") {
      throw base::Error(subject(i),
                        "a system message follows the conversation's beginning, where this model reads none",
                        "put it first, or send it as a user message");
    }
    out.push_back(normalized(messages[i], role, i, rules));
  }
  return Value::list(std::move(out));
}

}  // namespace smollm3
