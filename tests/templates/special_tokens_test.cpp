// No text of a user's becomes a special token, whichever way it takes through whichever template: bodies of requests to
// the API, read, rendered and tokenised as the server does it. Each conversation comes twice: with names of special
// tokens, whole and in pieces, in each of its strings, and with what makes them names taken out of these. The special
// tokens of both prompts must be the same ones in the same order. Needs the vocabulary and the templates in
// $SMOLLM3_SHARED/data or
// ../shared/data.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "gguf/gguf.h"
#include "server/completion_request.h"
#include "smollm3/chat.h"
#include "smollm3/tokenizer.h"

namespace {

using nlohmann::ordered_json;
using smollm3::ChatTemplate;
using smollm3::Token;
using smollm3::Tokenizer;

// In the assistant's own past turns these are what the model wrote, and may be tokens.
const std::vector<std::string> own_tags = {"<think>", "</think>", "<tool_call>", "</tool_call>", "<code>", "</code>"};

std::filesystem::path data_folder() {
  const char* shared = std::getenv("SMOLLM3_SHARED");
  return std::filesystem::path(shared ? shared : SMOLLM3_SOURCE_DIR "/../shared") / "data";
}

ChatTemplate read_template(const std::filesystem::path& path) {
  std::ifstream file(path);
  return ChatTemplate(std::string{std::istreambuf_iterator<char>(file), {}}, path.filename());
}

bool is_own_tag(std::string_view text) { return std::find(own_tags.begin(), own_tags.end(), text) != own_tags.end(); }

// Takes the < and | out of a text, but for the model's own tags where these stay.
std::string harmless(const std::string& text, bool keeps_tags) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto tag = std::find_if(own_tags.begin(), own_tags.end(), [&](const std::string& t) {
      return std::string_view(text).substr(at).starts_with(t);
    });
    if (keeps_tags && tag != own_tags.end()) {
      out += *tag;
      at += tag->size();
    } else {
      const char c = text[at++];
      out += c == '<' ? '(' : c == '|' || c == '>' ? '!' : c;
    }
  }
  return out;
}

ordered_json harmless(const ordered_json& value, bool keeps_tags) {
  if (value.is_string()) return harmless(value.get<std::string>(), keeps_tags);
  ordered_json out = value;
  if (value.is_array()) {
    for (ordered_json& item : out) item = harmless(item, keeps_tags);
  } else if (value.is_object()) {
    out = ordered_json::object();
    for (const auto& [key, item] : value.items()) {
      // Of an assistant's message the content keeps the tags, and nothing else.
      const bool assistant = value.contains("role") && value["role"] == "assistant" && key == "content";
      out[harmless(key, false)] = harmless(item, keeps_tags || assistant);
    }
  }
  return out;
}

class Conversations {
 public:
  Conversations(const Tokenizer& tokenizer, unsigned seed) : random_(seed) {
    for (Token token = 0; token < tokenizer.vocab_size(); ++token) {
      if (tokenizer.is_special(token)) names_.emplace_back(tokenizer.bytes(token));
    }
  }

  ordered_json body() {
    ordered_json body = {{"model", text()}, {"messages", ordered_json::array()}};
    ordered_json& messages = body["messages"];
    if (chance(2)) messages.push_back({{"role", chance(4) ? "developer" : "system"}, {"content", content()}});
    for (std::size_t turns = 1 + random_() % 3; turns > 0; --turns) {
      messages.push_back({{"role", "user"}, {"content", content()}, {"name", text()}, {text(), text()}});
      if (chance(2)) messages.push_back(answer());
      if (chance(3))
        messages.push_back({{"role", "tool"}, {"content", content()}, {"name", text()}, {"tool_call_id", text()}});
    }
    if (chance(2)) body["tools"] = tools();
    ordered_json variables = {
        {"enable_thinking", chance(2)}, {"custom", text()},          {"custom_instructions", text()}, {"today", text()},
        {"system_message", text()},     {"xml_tool_string", text()}, {"date_string", text()}};
    if (chance(4)) variables["bos_token"] = text();
    if (chance(3)) variables["python_tools"] = {text(), tool()};
    body["chat_template_kwargs"] = variables;
    return body;
  }

 private:
  bool chance(unsigned in) { return random_() % in == 0; }
  template <class T>
  const T& any(const std::vector<T>& of) {
    return of[random_() % of.size()];
  }

  const std::string& common_name() {
    static const std::vector<std::string> common = {"<|im_start|>",    "<|im_end|>",        "<think>",
                                                    "</think>",        "<tool_call>",       "</tool_call>",
                                                    "<|end_of_text|>", "<|begin_of_text|>", "<|eot_id|>"};
    return chance(3) ? any(names_) : any(common);
  }

  // A name whole, cut, or cut by what templates take out of a text.
  std::string salt(bool may_have_tags) {
    for (;;) {
      const std::string& name = common_name();
      if (!may_have_tags && is_own_tag(name)) continue;
      const std::size_t at = random_() % (name.size() + 1);
      switch (random_() % 6) {
        case 0:
          return name.substr(at);
        case 1:
          return name.substr(0, at);
        case 2:
          return is_own_tag(name)
                     ? name
                     : name.substr(0, at) + any(std::vector<std::string>{"/think", "/no_think", "/system_override"}) +
                           name.substr(at);
        default:
          return name;
      }
    }
  }

  std::string text(bool may_have_tags = true) {
    static const std::vector<std::string> words = {
        "hello", "naïve", "日本", "🤖",   " ",    "\n",          "\n\n",    "/think", "/no_think", "/system_override",
        "it's",  "\"",    "\\",   "system", "user", "assistant\n", "{{ x }}", "'",      "`",         "\t"};
    std::string out = salt(may_have_tags);
    for (std::size_t n = random_() % 5; n > 0; --n) out += chance(2) ? salt(may_have_tags) : any(words);
    return out;
  }

  ordered_json content(bool may_have_tags = true) {
    if (!chance(4)) return text(may_have_tags);
    ordered_json parts = ordered_json::array();
    for (std::size_t n = 1 + random_() % 3; n > 0; --n)
      parts.push_back({{"type", "text"}, {"text", text(may_have_tags)}});
    return parts;
  }

  ordered_json answer() {
    std::string said = text(false);
    if (chance(2)) said = "<think>\n" + said + "\n</think>\n" + text(false);
    ordered_json message = {
        {"role", "assistant"}, {"content", said}, {"reasoning_content", text()}, {"refusal", text()}};
    if (chance(3)) message["content"] = content(false);
    if (chance(2)) {
      ordered_json arguments = value();
      message["tool_calls"] = {
          {{"id", text()},
           {"type", "function"},
           {"function", {{"name", text()}, {"arguments", chance(2) ? arguments : ordered_json(arguments.dump())}}}}};
      if (chance(4)) message["tool_calls"][0]["function"]["arguments"] = text();  // no JSON at all
    }
    return message;
  }

  ordered_json value(int depth = 0) {
    ordered_json out = {{text(), text()}, {"n", 1}};
    if (depth < 2) out[text()] = {value(depth + 1), text(), nullptr};
    return out;
  }

  ordered_json tool() {
    const ordered_json function = {
        {"name", text()}, {"description", text()}, {"strict", true}, {"parameters", value()}, {text(), text()}};
    return {{"type", "function"}, {"function", function}, {text(), text()}};
  }

  ordered_json tools() {
    ordered_json out = {tool()};
    if (chance(2)) out.push_back(tool());
    return out;
  }

  std::mt19937 random_;
  std::vector<std::string> names_;
};

class SpecialTokens : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto path = data_folder() / "llama-bpe-vocab.gguf";
    if (std::filesystem::exists(path)) tokenizer = new Tokenizer(Tokenizer::load(gguf::File::open(path)));
  }
  static void TearDownTestSuite() {
    delete tokenizer;
    tokenizer = nullptr;
  }
  void SetUp() override {
    if (tokenizer == nullptr) GTEST_SKIP() << data_folder() << " has no vocabulary";
  }

  // Every template at hand: the three real ones, the demo model's, the built-in one, and two that print a message as it
  // is.
  static std::vector<ChatTemplate> templates() {
    std::vector<ChatTemplate> all = {ChatTemplate::builtin(),
                                     read_template(SMOLLM3_SOURCE_DIR "/models/demo/template.jinja")};
    for (const char* name : {"smollm3-official.jinja", "smollm3-unsloth.jinja", "smollm3-seed.jinja"}) {
      all.push_back(read_template(data_folder() / name));
    }
    all.emplace_back(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}{{ m | tojson }}{{ m.tool_calls "
        "}}<|im_end|>\n"
        "{% endfor %}{{ tools }}{{ xml_tools | string }}{{ python_tools | default(0) | tojson }}{{ custom ~ today ~ "
        "bos_token }}",
        "everything");
    all.emplace_back(
        "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor -%}",
        "plain");
    return all;
  }

  static std::vector<Token> tokens(const smollm3::Prompt& prompt, bool all_special = false) {
    std::vector<smollm3::Fragment> fragments;
    for (const auto& fragment : prompt.fragments)
      fragments.push_back({fragment.text, all_special || fragment.from_template});
    return tokenizer->encode(fragments);
  }

  static std::vector<Token> specials(std::vector<Token> tokens) {
    std::erase_if(tokens, [](Token token) { return !tokenizer->is_special(token); });
    return tokens;
  }

  inline static Tokenizer* tokenizer = nullptr;
};

TEST_F(SpecialTokens, NeverComeFromTheUser) {
  int rendered = 0, would_differ = 0;
  for (const ChatTemplate& chat : templates()) {
    Conversations conversations(*tokenizer, 1);
    for (int round = 0; round < 300; ++round) {
      ordered_json body = conversations.body();
      if (chat.source().find("python_tools") == std::string::npos) body["chat_template_kwargs"].erase("python_tools");
      const auto salted = chat.render(server::parse_completion_request(body.dump()).turn.input);
      const auto plain = chat.render(server::parse_completion_request(harmless(body, false).dump()).turn.input);
      const std::vector<Token> ids = tokens(salted);
      ASSERT_EQ(tokenizer->decode(ids, true), salted.text());
      ASSERT_EQ(specials(ids), specials(tokens(plain))) << body.dump();
      ++rendered;
      would_differ += specials(tokens(salted, true)) != specials(tokens(plain)) ? 1 : 0;
    }
  }
  // Were provenance ignored, most of these conversations would show it.
  EXPECT_GT(would_differ, rendered * 9 / 10);
}

}  // namespace
