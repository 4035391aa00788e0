// The chat format: messages and tools, as an API has them, to the text a model reads.
//
// Templates found in files leave gaps: they drop past tool calls, read only text content and one system message, and
// some know no tools. ChatTemplate closes these before and after the file's own template is rendered:
//   content       parts are joined; parts that are not text are refused; null counts as ""
//   system        several at the start are joined by an empty line, a later one is refused ("developer" is the same
//   role) tool calls    written into the content of their turn as the model emits them, unless the template reads
//   tool_calls tools         a section in the authors' words is put at the end of the system turn if the template reads
//   no tools reasoning     of past turns (reasoning_content) is dropped
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "jinja/jinja.h"

namespace smollm3 {

struct ChatInput {
  nlohmann::ordered_json messages;      // an array in the OpenAI form
  nlohmann::ordered_json tools;         // an array; null: `tools` is none and `xml_tools` undefined, else it fills both
  nlohmann::ordered_json python_tools;  // an array; null: `python_tools` is undefined
  bool enable_thinking = true;
  bool add_generation_prompt = true;
  std::optional<std::chrono::year_month_day> date;  // today's if absent
  nlohmann::ordered_json extra;                     // further variables of the template: an object or null
};

// Where the text that the model will write begins; it follows from the tail of the rendered prompt.
enum class StreamStart {
  Open,      // the model may begin with <think> or with its answer
  Thinking,  // the prompt ends with an opened <think>
  Answer,    // the prompt ends with a closed think block (or holds no generation prompt)
};

struct Prompt {
  // The text is that of all fragments joined, and is to be tokenised as one: a fragment's edge is no token's edge.
  // Special tokens are looked for only in fragments that are the template's own.
  std::vector<jinja::Fragment> fragments;
  StreamStart start = StreamStart::Open;

  std::string text() const;
};

class ChatTemplate {
 public:
  // `source` is a file's tokenizer.chat_template; throws base::Error if it is not a template.
  explicit ChatTemplate(std::string source, std::string name = "tokenizer.chat_template");
  // For a file that has none: ChatML with the header, modes and tools that SmolLM3 was trained with.
  static ChatTemplate builtin();
  // That of the file, or the built-in one. Its `bos_token` and `eos_token` are the texts of the file's tokens.
  static ChatTemplate of(const gguf::File& file);

  Prompt render(const ChatInput& input) const;

  const std::string& source() const { return source_; }

 private:
  std::string source_;
  std::string bos_token_, eos_token_;  // empty: undefined
  jinja::Template template_;
  bool reads_tools_;
  bool reads_tool_calls_;
};

}  // namespace smollm3
