#include "smollm3/chat.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "jinja/python.h"
#include "smollm3/chat_messages.h"

namespace smollm3 {

extern const std::string_view default_template;

namespace {

using jinja::Text;
using jinja::Value;
using nlohmann::ordered_json;

constexpr std::string_view turn_start = "<|im_start|>", turn_end = "<|im_end|>";
constexpr std::array<std::string_view, 6> tags = {"<think>",      "</think>", "<tool_call>",
                                                  "</tool_call>", "<code>",   "</code>"};
constexpr std::size_t tags_without_code = 4;

// Tools as the authors' template words them; a tool is written as Python would print it.
Text tools_section(const Value& tools) {
  Text out = Text::from_template(
      "### Tools\n\nYou may call one or more functions to assist with the user query.\nYou are provided with function "
      "signatures within <tools></tools> XML tags:\n\n<tools>\n");
  for (const Value& tool : tools.items()) {
    out.append(jinja::str(tool));
    out.append("\n", true);
  }
  out.append(
      "</tools>\n\nFor each function call, return a json object with function name and arguments within "
      "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n"
      "</tool_call>\n\n",
      true);
  return out;
}

// Where the template itself wrote `what` first or last; npos if it did not.
std::size_t find_trusted(const Text& text, std::string_view what) {
  for (const auto& range : text.trusted()) {
    const std::size_t at = std::string_view(text.bytes()).substr(range.begin, range.end - range.begin).find(what);
    if (at != std::string::npos) return range.begin + at;
  }
  return std::string::npos;
}

std::size_t rfind_trusted(const Text& text, std::string_view what) {
  for (auto range = text.trusted().rbegin(); range != text.trusted().rend(); ++range) {
    const std::size_t at = std::string_view(text.bytes()).substr(range->begin, range->end - range->begin).rfind(what);
    if (at != std::string::npos) return range->begin + at;
  }
  return std::string::npos;
}

// The section at the end of the system turn, an empty line before it.
Text inserted(const Text& text, std::size_t at, const Text& section) {
  Text out = text.substr(0, at);
  if (!out.bytes().ends_with('\n')) out.append("\n\n", true);
  out.append(section);
  out.append(text.substr(at));
  return out;
}

// The same text at the end of the system message, for templates that write no system turn of their own.
Value with_section_in_system(const Value& messages, const Text& section) {
  jinja::Values out = messages.items();
  const Value* role = out[0].dict().find("role");
  jinja::Dict system;
  system.set("role", Value::input("system"));
  Text content;
  if (role->text().bytes() == "system") {
    content = out[0].dict().find("content")->text();
    if (!content.empty()) content.append("\n\n", false);
    out.erase(out.begin());
  }
  content.append(section);
  system.set("content", Value(std::move(content)));
  out.insert(out.begin(), Value::dict(std::move(system)));
  return Value::list(std::move(out));
}

StreamStart stream_start(const Text& prompt) {
  const std::size_t turn = rfind_trusted(prompt, turn_start);
  if (turn == std::string::npos) return StreamStart::Open;
  std::string_view tail = std::string_view(prompt.bytes()).substr(turn);
  while (!tail.empty() && (tail.back() == '\n' || tail.back() == ' ')) tail.remove_suffix(1);
  if (tail.ends_with("<think>")) return StreamStart::Thinking;
  return tail.ends_with("</think>") ? StreamStart::Answer : StreamStart::Open;
}

Value list_of(const ordered_json& json, std::string_view name) {
  if (!json.is_array()) throw base::Error(name, "they are not a list", "send a list of tools");
  return Value::from_json(json);
}

// In bytes: 16 for each token of the longest context, where texts have four. More costs memory before it is refused.
constexpr std::size_t longest_prompt = 2 << 20;

jinja::Options options_for(const ChatInput& input) {
  jinja::Options options;
  options.max_output = longest_prompt;
  if (input.date) options.now = std::chrono::local_days(*input.date);
  return options;
}

}  // namespace

std::string Prompt::text() const {
  std::string out;
  for (const Fragment& fragment : fragments) out += fragment.text;
  return out;
}

ChatTemplate::ChatTemplate(std::string source, std::string name)
    : source_(std::move(source)),
      template_(jinja::Template::parse(source_, std::move(name))),
      reads_tools_(template_.mentions("tools") || template_.mentions("xml_tools")),
      reads_tool_calls_(template_.mentions("tool_calls")) {}

ChatTemplate ChatTemplate::builtin() { return ChatTemplate(std::string(default_template), "built-in chat template"); }

ChatTemplate ChatTemplate::of(const gguf::File& file) {
  const std::string_view source = file.string("tokenizer.chat_template", "");
  ChatTemplate chat = source.empty() ? builtin() : ChatTemplate(std::string(source));
  const bool asks = chat.template_.mentions("bos_token") || chat.template_.mentions("eos_token");
  if (!asks || !file.find("tokenizer.ggml.tokens")) return chat;
  const std::vector<std::string_view> tokens = file.array("tokenizer.ggml.tokens").strings();
  const auto text_of = [&](std::string_view key) {
    const std::uint64_t id = file.integer(key, tokens.size());
    return id < tokens.size() ? std::string(tokens[static_cast<std::size_t>(id)]) : std::string();
  };
  chat.bos_token_ = text_of("tokenizer.ggml.bos_token_id");
  chat.eos_token_ = text_of("tokenizer.ggml.eos_token_id");
  return chat;
}

Prompt ChatTemplate::render(const ChatInput& input) const {
  const bool has_python_tools = !input.python_tools.is_null();
  if (has_python_tools && !template_.mentions("python_tools")) {
    throw base::Error("python_tools", "the chat template of this file knows none", "send them as tools");
  }
  const MessageRules rules{reads_tool_calls_,
                           std::span(tags).first(has_python_tools ? tags.size() : tags_without_code)};
  Value messages = normalized_messages(input.messages, rules);

  jinja::Dict context;
  if (input.extra.is_object()) {
    for (const auto& [key, value] : input.extra.items()) context.set(key, Value::from_json(value));
  } else if (!input.extra.is_null()) {
    throw base::Error("extra template variables", "they are not an object", "send an object");
  }
  if (!bos_token_.empty()) context.set("bos_token", Value::own(bos_token_));
  if (!eos_token_.empty()) context.set("eos_token", Value::own(eos_token_));
  context.set("messages", messages);
  context.set("enable_thinking", Value(input.enable_thinking));
  context.set("add_generation_prompt", Value(input.add_generation_prompt));
  const Value tools = input.tools.is_null() ? Value::none() : list_of(input.tools, "tools");
  context.set("tools", tools);
  if (!tools.is_none()) context.set("xml_tools", tools);
  if (has_python_tools) context.set("python_tools", list_of(input.python_tools, "python_tools"));

  const jinja::Options options = options_for(input);
  Text text = template_.render(Value::dict(context), options);
  if (!reads_tools_ && !tools.is_none() && !tools.items().empty()) {
    const Text section = tools_section(tools);
    const std::size_t system_end = find_trusted(text, turn_end);
    if (find_trusted(text, "<|im_start|>system") == 0 && system_end != std::string::npos) {
      text = inserted(text, system_end, section);
    } else {
      context.set("messages", with_section_in_system(messages, section));
      text = template_.render(Value::dict(context), options);
    }
  }
  Prompt prompt;
  std::vector<jinja::Fragment> fragments = text.fragments();
  prompt.fragments.reserve(fragments.size());
  for (jinja::Fragment& fragment : fragments) {
    prompt.fragments.push_back({std::move(fragment.text), fragment.from_template});
  }
  if (input.add_generation_prompt) prompt.start = stream_start(text);
  return prompt;
}

}  // namespace smollm3
