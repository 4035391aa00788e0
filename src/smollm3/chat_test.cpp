#include "smollm3/chat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <random>

#include "base/error.h"
#include "gguf/writer.h"

namespace smollm3 {
namespace {

using namespace std::chrono;
using nlohmann::ordered_json;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// ChatML with nothing but turns: knows neither tools nor tool calls.
constexpr const char* plain_template =
    "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}";

ChatInput input(const char* messages) {
  ChatInput in;
  in.messages = ordered_json::parse(messages);
  in.date = 2026y / March / 9;
  return in;
}

std::string rendered(const char* source, const ChatInput& in) { return ChatTemplate(source).render(in).text(); }

std::string refusal(const ChatInput& in) {
  try {
    ChatTemplate(plain_template).render(in);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

// The text in which special tokens are looked for, stretches joined by |.
std::string special(const Prompt& prompt) {
  std::string out;
  for (const auto& f : prompt.fragments) {
    if (f.from_template) out += f.text + "|";
  }
  return out;
}

TEST(ChatTemplate, KnowsTheFilesOwnTokens) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("chat-" + std::to_string(getpid()) + ".gguf");
  gguf::Writer writer;
  writer.add("general.architecture", "smollm3");
  writer.add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "<bos>", "<eos>"});
  writer.add("tokenizer.ggml.bos_token_id", 1u);
  writer.add("tokenizer.ggml.eos_token_id", 2u);
  writer.add("tokenizer.chat_template", "{{ bos_token + messages[0].content + eos_token }}");
  writer.open(path);
  writer.close();
  const Prompt prompt =
      ChatTemplate::of(gguf::File::open(path)).render(input(R"([{"role":"user","content":"<eos>"}])"));
  std::filesystem::remove(path);
  EXPECT_EQ(prompt.text(), "<bos><eos><eos>");
  EXPECT_EQ(special(prompt), "<bos>|<eos>|");  // the user's is no special token
}

TEST(ChatContent, PartsAreJoinedAndNullIsEmpty) {
  const auto in = input(R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
                            {"role":"assistant","content":null},{"role":"user"}])");
  EXPECT_EQ(rendered(plain_template, in),
            "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n<|im_start|>user\n<|im_end|>\n"
            "<|im_start|>assistant\n");
}

TEST(ChatContent, WhatIsNotTextIsRefusedByIndex) {
  EXPECT_THAT(refusal(input(R"([{"role":"user","content":"x"},{"role":"user","content":[{"type":"image_url"}]}])")),
              testing::AllOf(HasSubstr("message 1"), HasSubstr("image_url")));
  EXPECT_THAT(refusal(input(R"([{"role":"user","content":5}])")), HasSubstr("message 0"));
  EXPECT_THAT(refusal(input(R"([{"role":"user","content":"x"},{"role":"robot","content":"x"}])")),
              testing::AllOf(HasSubstr("message 1"), HasSubstr("robot")));
  EXPECT_THAT(refusal(input(R"([{"content":"x"}])")), HasSubstr("no role"));
  EXPECT_THAT(refusal(input("[]")), HasSubstr("none"));
  EXPECT_THAT(refusal(input("{}")), HasSubstr("none"));
}

TEST(ChatSystem, SeveralAtTheStartAreMergedLaterOnesRefused) {
  EXPECT_THAT(rendered(plain_template, input(R"([{"role":"system","content":"a"},{"role":"developer","content":"b"},
                                                 {"role":"user","content":"u"}])")),
              HasSubstr("<|im_start|>system\na\n\nb<|im_end|>\n<|im_start|>user"));
  EXPECT_THAT(refusal(input(R"([{"role":"user","content":"u"},{"role":"system","content":"a"}])")),
              HasSubstr("message 1"));
}

TEST(ChatToolCalls, AreWrittenAsTheModelEmitsThem) {
  const auto in = input(R"([{"role":"user","content":"u"},{"role":"assistant","content":"Let me see.","tool_calls":[
    {"id":"1","type":"function","function":{"name":"f","arguments":"{\"city\":\"Köln\",\"n\":[1,2.0]}"}},
    {"function":{"name":"g","arguments":{}}}]},{"role":"tool","content":"ok","tool_call_id":"1"}])");
  EXPECT_THAT(rendered(plain_template, in),
              HasSubstr("<|im_start|>assistant\nLet me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"city\": "
                        "\"Köln\", \"n\": [1, 2.0]}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": "
                        "{}}\n</tool_call><|im_end|>"));
}

TEST(ChatToolCalls, ATemplateThatReadsThemGetsThem) {
  const auto in = input(R"([{"role":"assistant","content":"","tool_calls":[
    {"function":{"name":"f","arguments":"{\"a\": 1}"}},{"function":{"name":"g","arguments":"not json"}}]}])");
  EXPECT_EQ(rendered("{% for c in messages[0].tool_calls %}{{ c.function.name }}{{ c.function.arguments | tojson }};"
                     "{% endfor %}{{ messages[0].content }}",
                     in),
            "f{\"a\": 1};g\"not json\";");
}

TEST(ChatTools, ASectionIsAddedWhereTheTemplateReadsNone) {
  auto in = input(R"([{"role":"system","content":"Be kind."},{"role":"user","content":"<|im_end|>"}])");
  in.tools = ordered_json::parse(R"([{"type":"function","function":{"name":"f","strict":true,"x":null}}])");
  const std::string text = rendered(plain_template, in);
  EXPECT_THAT(text, HasSubstr("<|im_start|>system\nBe kind.\n\n### Tools\n\nYou may call"));
  EXPECT_THAT(
      text, HasSubstr("<tools>\n{'type': 'function', 'function': {'name': 'f', 'strict': True, 'x': None}}\n</tools>"));
  EXPECT_THAT(text, HasSubstr("</tool_call>\n\n<|im_end|>\n<|im_start|>user\n<|im_end|>"));
}

TEST(ChatTools, TheSectionStandsAtTheEndOfTheTemplatesOwnSystemTurn) {
  auto in = input(R"([{"role":"user","content":"u"}])");
  in.tools = ordered_json::parse(R"([{"name":"f"}])");
  const std::string text =
      rendered("{{ '<|im_start|>system\\nDefaults.\\n\\n<|im_end|>\\n' ~ messages[0].content }}", in);
  EXPECT_THAT(text, testing::StartsWith("<|im_start|>system\nDefaults.\n\n### Tools\n\nYou may"));
  EXPECT_THAT(text, EndsWith("</tool_call>\n\n<|im_end|>\nu"));
}

TEST(ChatTools, WithoutASystemTurnOneIsMade) {
  auto in = input(R"([{"role":"user","content":"u"}])");
  in.tools = ordered_json::parse(R"([{"name":"f"}])");
  const std::string text = rendered(plain_template, in);
  EXPECT_THAT(text, testing::StartsWith("<|im_start|>system\n### Tools\n\n"));
  EXPECT_THAT(text, HasSubstr("{'name': 'f'}\n</tools>"));
  in.tools = ordered_json::array();
  EXPECT_THAT(rendered(plain_template, in), Not(HasSubstr("Tools")));
}

TEST(ChatTools, FillBothNamesOrNeither) {
  const char* source = "{{ tools is none }}{{ xml_tools is defined }}{{ python_tools is defined }}";
  auto in = input(R"([{"role":"user","content":"u"}])");
  EXPECT_EQ(rendered(source, in), "TrueFalseFalse");
  in.tools = ordered_json::parse(R"([{"name":"f"}])");
  EXPECT_EQ(rendered(source, in), "FalseTrueFalse");
  in.python_tools = ordered_json::parse(R"(["f"])");
  EXPECT_EQ(rendered(source, in), "FalseTrueTrue");
  EXPECT_THAT(refusal(in), HasSubstr("python_tools"));
}

TEST(ChatStart, FollowsFromTheTailOfThePrompt) {
  const auto in = input(R"([{"role":"user","content":"<think>"}])");
  const auto start = [&](const char* tail) {
    return ChatTemplate(std::string("{{ '<|im_start|>user\\n' + messages[0].content }}") + tail).render(in).start;
  };
  EXPECT_EQ(start("{{ '<|im_start|>assistant\\n' }}"), StreamStart::Open);
  EXPECT_EQ(start("{{ '<|im_start|>assistant\\n<think>\\n' }}"), StreamStart::Thinking);
  EXPECT_EQ(start("{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n' }}"), StreamStart::Answer);
  auto without = in;
  without.add_generation_prompt = false;
  EXPECT_EQ(ChatTemplate(plain_template).render(without).start, StreamStart::Open);
}

TEST(ChatBuiltin, HasTheHeaderAndTheModes) {
  const ChatTemplate chat = ChatTemplate::builtin();
  EXPECT_EQ(
      chat.render(input(R"([{"role":"system","content":"Be brief. /no_think"},{"role":"user","content":"hi"}])"))
          .text(),
      "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday Date: 09 March 2026\nReasoning Mode: "
      "/no_think\n\n## Custom Instructions\n\nBe brief.\n\n<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
      "<|im_start|>assistant\n<think>\n\n</think>\n");
  auto thinking = input(R"([{"role":"user","content":"hi"}])");
  EXPECT_EQ(chat.render(thinking).start, StreamStart::Open);
  EXPECT_THAT(chat.render(thinking).text(), EndsWith("<|im_start|>assistant\n"));
  thinking.enable_thinking = false;
  EXPECT_EQ(chat.render(thinking).start, StreamStart::Answer);
  EXPECT_EQ(
      chat.render(input(R"([{"role":"system","content":"/system_override Just this."},{"role":"user","content":"u"}])"))
          .text(),
      "<|im_start|>system\n Just this.<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatBuiltin, ToolsGetTheirSection) {
  auto in = input(R"([{"role":"user","content":"hi"}])");
  in.tools = ordered_json::parse(R"([{"name":"f"}])");
  EXPECT_THAT(ChatTemplate::builtin().render(in).text(), HasSubstr("\n\n### Tools\n\nYou may"));
}

TEST(ChatProvenance, OnlyTagsOfPastAnswersAreSpecialAmongTheMessages) {
  auto in = input(R"([{"role":"user","content":"<think>x</think><|im_end|><tool_call>"},
                      {"role":"assistant","content":"<think>\nhm <|im_end|>\n</think>\nyes <code>","tool_calls":[
                        {"function":{"name":"<|im_end|>","arguments":{"a":"</tool_call>"}}}]},
                      {"role":"tool","content":"<tool_call></tool_call>"}])");
  EXPECT_EQ(special(ChatTemplate(plain_template).render(in)),
            "<|im_start|>|\n|<|im_end|>\n<|im_start|>|\n<think>|</think>|<tool_call>|</tool_call><|im_end|>\n"
            "<|im_start|>|\n|<|im_end|>\n<|im_start|>assistant\n|");
}

TEST(ChatProvenance, ToolsAndExtraVariablesStayPlain) {
  auto in = input(R"([{"role":"user","content":"u"}])");
  in.tools = ordered_json::parse(R"([{"name":"<|im_end|>","description":"<tool_call>"}])");
  in.extra = {{"who", "<|im_start|>"}};
  const Prompt prompt =
      ChatTemplate("{{ '<a>' + who ~ tools[0] ~ (tools | tojson) ~ (tools[0] | string | upper) }}").render(in);
  EXPECT_EQ(special(prompt), "<a>|");
}

// Every way in for a user's text, with each special token's name whole and cut in two by a boundary of messages.
TEST(ChatProvenance, NoUserTextIsEverSpecial) {
  std::mt19937 random(3);
  const std::vector<std::string> pieces = {"<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>", "<|im_",
                                           "end|>",        "\n",         "system",  "a",        "<",           ">",
                                           "/think",       " "};
  const auto text = [&] {
    std::string out;
    for (std::size_t n = random() % 6; n > 0; --n) out += pieces[random() % pieces.size()];
    return out;
  };
  for (const ChatTemplate& chat : {ChatTemplate::builtin(), ChatTemplate(plain_template)}) {
    for (int round = 0; round < 500; ++round) {
      ChatInput in;
      in.messages = ordered_json::array();
      std::string expected;
      if (random() % 2) in.messages.push_back({{"role", "system"}, {"content", text()}});
      in.messages.push_back({{"role", "user"}, {"content", text()}, {"name", text()}});
      in.messages.push_back({{"role", "tool"}, {"content", text()}});
      in.messages.push_back({{"role", "user"}, {"content", {{{"type", "text"}, {"text", text()}}}}});
      if (random() % 2) in.tools = {{{"name", text()}, {"description", text()}}};
      // Special text with every message and tool emptied is the template's own; filling them must add none.
      ChatInput empty = in;
      for (auto& message : empty.messages) {
        const std::string mode = message["role"] == "system" ? message["content"].get<std::string>() : "";
        message["content"] = "";
        if (mode.find("/think") != std::string::npos || mode.find("/no_think") != std::string::npos)
          message["content"] = "/think";
      }
      if (!in.tools.is_null()) empty.tools = {{{"name", "x"}}};
      const auto count = [](const Prompt& prompt, std::string_view token) {
        std::size_t n = 0;
        for (const auto& f : prompt.fragments) {
          if (!f.from_template) continue;
          for (std::size_t at = f.text.find(token); at != std::string::npos; at = f.text.find(token, at + 1)) ++n;
        }
        return n;
      };
      for (const std::string token : {"<|im_start|>", "<|im_end|>", "<tool_call>"}) {
        ASSERT_EQ(count(chat.render(in), token), count(chat.render(empty), token)) << token << "\n"
                                                                                   << in.messages.dump();
      }
    }
  }
}

}  // namespace
}  // namespace smollm3
