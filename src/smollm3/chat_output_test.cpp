#include "smollm3/chat_output.h"

#include <gtest/gtest.h>

#include <random>

namespace smollm3 {
namespace {

using Kind = OutputEvent::Kind;

// Events in one line: T(…) thinking, A(…) answer, C(name arguments) call; neighbours of one kind joined.
std::string told(const std::vector<OutputEvent>& events) {
  std::string out;
  const OutputEvent* last = nullptr;
  for (const OutputEvent& e : events) {
    if (e.kind == Kind::ToolCall) {
      out += "C(" + e.call.name + " " + e.call.arguments.dump() + ")";
    } else if (last != nullptr && last->kind == e.kind) {
      out.insert(out.size() - 1, e.text);
    } else {
      out += (e.kind == Kind::Thinking ? "T(" : "A(") + e.text + ")";
    }
    last = &e;
  }
  return out;
}

std::vector<OutputEvent> parsed(const std::vector<std::string>& pieces, StreamStart start) {
  OutputParser parser(start);
  std::vector<OutputEvent> all;
  const auto take = [&all](std::vector<OutputEvent> events) {
    for (auto& e : events) {
      EXPECT_TRUE(e.kind == Kind::ToolCall || !e.text.empty());
      all.push_back(std::move(e));
    }
  };
  for (const auto& piece : pieces) take(parser.feed(piece));
  take(parser.finish());
  return all;
}

std::string at_once(const std::string& text, StreamStart start = StreamStart::Open) {
  return told(parsed({text}, start));
}

TEST(ChatOutput, SeparatesThinkingFromAnswer) {
  EXPECT_EQ(at_once("<think>\nhm\n\nwell\n</think>\n\nYes.\n"), "T(hm\n\nwell)A(Yes.\n)");
  EXPECT_EQ(at_once("\n<think>hm</think>Yes"), "T(hm)A(Yes)");
  EXPECT_EQ(at_once("hm\n</think>\nYes", StreamStart::Thinking), "T(hm)A(Yes)");
  EXPECT_EQ(at_once("Yes", StreamStart::Answer), "A(Yes)");
  EXPECT_EQ(at_once("<think>\n\n</think>\nYes"), "A(Yes)");
  EXPECT_EQ(at_once(""), "");
  EXPECT_EQ(at_once("\n\n"), "");
}

TEST(ChatOutput, TagsOutOfPlaceAreText) {
  EXPECT_EQ(at_once("Say <think> or </think> now"), "A(Say <think> or </think> now)");
  EXPECT_EQ(at_once("<think>a <think> <tool_call>{} b</think>c"), "T(a <think> <tool_call>{} b)A(c)");
  EXPECT_EQ(at_once("<thin air"), "A(<thin air)");
  EXPECT_EQ(at_once("</tool_call> a"), "A(</tool_call> a)");
}

TEST(ChatOutput, AMissingEndIsTolerated) {
  EXPECT_EQ(at_once("<think>\nand then\n"), "T(and then)");
  EXPECT_EQ(at_once("<think>a</thi"), "T(a</thi)");
  EXPECT_EQ(at_once("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n"), "C(f {\"a\":1})");
  EXPECT_EQ(at_once("a <tool_call>\n{\"name\": \"f\", \"argum"), "A(a <tool_call>\n{\"name\": \"f\", \"argum)");
  EXPECT_EQ(at_once("a\n<tool_"), "A(a\n<tool_)");
}

TEST(ChatOutput, ReadsToolCalls) {
  EXPECT_EQ(
      at_once(
          "<think>x</think>\nLet me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": [\"<\"]}}\n"
          "</tool_call>\n<tool_call>{\"name\": \"g\"}</tool_call>\nDone"),
      "T(x)A(Let me see.)C(f {\"b\":1,\"a\":[\"<\"]})C(g {})A(Done)");
  EXPECT_EQ(at_once("<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>"), "C(f {\"a\":1})");
  const auto events = parsed({"x <tool_call>\n{\"name\":\"f\"}</tool_call>"}, StreamStart::Answer);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].call.raw, "<tool_call>\n{\"name\":\"f\"}</tool_call>");
}

TEST(ChatOutput, WhatIsNoCallStaysTextUnchanged) {
  for (const std::string body :
       {"", "{", "[1]", "{\"name\": 5}", "{\"name\": \"\"}", "{\"name\": \"f\", \"arguments\": [1]}",
        "{\"arguments\": {}}", "{\"name\": \"f\"} x", "nothing"}) {
    const std::string text = "a\n\n<tool_call>\n" + body + "\n</tool_call>\nb";
    EXPECT_EQ(at_once(text), "A(" + text + ")");
  }
  EXPECT_EQ(at_once("<tool_call>oops <tool_call>{\"name\": \"f\"}</tool_call>"), "A(<tool_call>oops )C(f {})");
  const std::string quoted = R"(<tool_call>{"name": "f", "arguments": {"a": "</tool_call>"}}</tool_call>)";
  EXPECT_EQ(at_once(quoted + "b"), "C(f {\"a\":\"</tool_call>\"})A(b)");
  EXPECT_EQ(at_once("<tool_call>{\"a <tool_call>{\"name\": \"f\"}</tool_call>"), "A(<tool_call>{\"a )C(f {})");
  const std::string deep = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": " + std::string(5000, '[') +
                           std::string(5000, ']') + "}}</tool_call>";
  EXPECT_EQ(at_once(deep), "A(" + deep + ")");
}

TEST(ChatOutput, GivesTextAsSoonAsItIsCertain) {
  OutputParser parser(StreamStart::Open);
  EXPECT_EQ(told(parser.feed("<th")), "");
  EXPECT_EQ(told(parser.feed("ink>")), "");
  EXPECT_TRUE(parser.thinking());
  EXPECT_EQ(told(parser.feed("a b")), "T(a b)");
  EXPECT_EQ(told(parser.feed(" <")), "T( )");
  EXPECT_EQ(told(parser.feed("b\xC3")), "T(<b)");
  EXPECT_EQ(told(parser.feed("\xA9\n</think>\nYes <")), "T(é)A(Yes )");
  EXPECT_FALSE(parser.thinking());
  EXPECT_EQ(told(parser.feed("- no")), "A(<- no)");
}

// However a text is cut, the same comes out.
TEST(ChatOutput, DoesNotDependOnTheCuts) {
  std::mt19937 random(11);
  const std::vector<std::string> pieces = {"<think>",
                                           "</think>",
                                           "<tool_call>",
                                           "</tool_call>",
                                           "\n",
                                           "\r\n",
                                           "a",
                                           " ",
                                           "é",
                                           "🤖",
                                           "<",
                                           "</",
                                           "tool_call>",
                                           "{\"name\": \"f\", \"arguments\": {\"x\": \"<\"}}",
                                           "{\"name\": 1}",
                                           "\xC3",
                                           "\xF0\x9F"};
  for (int round = 0; round < 4000; ++round) {
    std::string text;
    for (std::size_t n = random() % 14; n > 0; --n) text += pieces[random() % pieces.size()];
    const StreamStart start = static_cast<StreamStart>(random() % 3);
    const std::string whole = at_once(text, start);
    std::vector<std::string> cut, bytes;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t n = std::min<std::size_t>(text.size() - at, 1 + random() % 9);
      cut.push_back(text.substr(at, n));
      at += n;
    }
    for (const char c : text) bytes.emplace_back(1, c);
    ASSERT_EQ(told(parsed(cut, start)), whole) << text;
    ASSERT_EQ(told(parsed(bytes, start)), whole) << text;
  }
}

TEST(ChatOutput, AnUnendingCallCostsNoMoreThanItsLength) {
  OutputParser parser(StreamStart::Answer);
  std::string text = "<tool_call>";
  for (int i = 0; i < 200000; ++i) text += "x<";
  for (const char c : text) parser.feed(std::string_view(&c, 1));
  EXPECT_EQ(told(parser.finish()), "A(" + text + ")");
}

}  // namespace
}  // namespace smollm3
