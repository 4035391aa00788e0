#include "store/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "store/export.h"

namespace store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<Imported> read(const std::string& text) {
  std::vector<Imported> all;
  read_conversations("file", text, [&](Imported one) { all.push_back(std::move(one)); });
  return all;
}

std::string error_of(const std::string& text) {
  try {
    for (const Imported& one : read(text)) {
      if (one.error) return one.error->what();
    }
  } catch (const base::Error& error) {
    return error.what();
  }
  return {};
}

// The only conversation of a file.
WholeConversation only(const std::string& text) {
  std::vector<Imported> all = read(text);
  if (all.size() != 1 || !all[0].conversation) throw std::runtime_error(error_of(text));
  return std::move(*all[0].conversation);
}

// Each message as "parent>number role: text".
std::vector<std::string> lines(const WholeConversation& conversation) {
  std::vector<std::string> all;
  for (const Message& message : conversation.messages) {
    all.push_back(std::to_string(message.parent) + ">" + std::to_string(message.number) +
                  (message.role == Role::User ? " Q: " : " A: ") +
                  (message.thinking.empty() ? "" : "(" + message.thinking + ") ") + message.text);
  }
  return all;
}

std::string chatgpt_node(const std::string& id, const std::string& parent, const std::string& children,
                         const std::string& role, const std::string& text, const std::string& more = "") {
  return "\"" + id + "\":{\"id\":\"" + id + "\",\"parent\":" + (parent.empty() ? "null" : "\"" + parent + "\"") +
         ",\"children\":[" + children + "],\"message\":{\"author\":{\"role\":\"" + role +
         "\"},\"content\":{\"content_type\":\"text\",\"parts\":[\"" + text + "\"]},\"create_time\":1700000000.25" +
         more + "}}";
}

std::string chatgpt(const std::vector<std::string>& nodes, const std::string& current) {
  std::string all;
  for (const std::string& node : nodes) all += (all.empty() ? "" : ",") + node;
  return R"([{"title":"T","create_time":1700000000.5,"conversation_id":"67A1B2C3-0000-4000-8000-0123456789ab",)"
         R"("current_node":")" +
         current + "\",\"mapping\":{\"root\":{\"message\":null,\"parent\":null,\"children\":[]}," + all + "}}]";
}

TEST(ChatGpt, KeepsItsTree) {
  const WholeConversation read = only(chatgpt(
      {chatgpt_node("s", "root", "", "system", "Be brief"), chatgpt_node("q", "s", R"("b","a")", "user", "Why?"),
       chatgpt_node("a", "q", "", "assistant", "Later"), chatgpt_node("b", "q", "\"q2\"", "assistant", "Because"),
       chatgpt_node("q2", "b", "\"t\"", "user", "How?"), chatgpt_node("t", "q2", "\"c\"", "tool", "output"),
       chatgpt_node("c", "t", "", "assistant", "So")},
      "c"));
  EXPECT_EQ(read.id, "67a1b2c30000400080000123456789ab");
  EXPECT_EQ(read.title, "T");
  EXPECT_EQ(read.created, 1'700'000'000'500);
  EXPECT_EQ(read.messages[0].created, 1'700'000'000'250);
  EXPECT_THAT(lines(read), ElementsAre("0>1 Q: Why?", "1>2 A: Because", "2>3 Q: How?", "3>4 A: So", "1>5 A: Later"));
  EXPECT_EQ(read.shown, 4);
}

TEST(ChatGpt, ShowsTheNearestThatStaysWhereTheLastIsLeftOut) {
  const WholeConversation read = only(chatgpt(
      {chatgpt_node("q", "root", "", "user", "Why?"), chatgpt_node("a", "q", "", "assistant", "Because"),
       chatgpt_node("h", "a", "", "user", "hidden", R"(,"metadata":{"is_visually_hidden_from_conversation":true})"),
       chatgpt_node("t", "h", "", "assistant", "call", R"(,"recipient":"python")")},
      "t"));
  EXPECT_THAT(lines(read), ElementsAre("0>1 Q: Why?", "1>2 A: Because"));
  EXPECT_EQ(read.shown, 2);
}

TEST(ChatGpt, BringsWhatIsNotInTurnIntoTurn) {
  // Questions and answers in several messages.
  EXPECT_THAT(lines(only(chatgpt({chatgpt_node("a", "root", "", "user", "1"), chatgpt_node("b", "a", "", "user", "2"),
                                  chatgpt_node("c", "b", "", "assistant", "3"), chatgpt_node("d", "c", "", "tool", "x"),
                                  chatgpt_node("e", "d", "", "assistant", "4")},
                                 "e"))),
              ElementsAre("0>1 Q: 1\n\n2", "1>2 A: 3\n\n4"));
  // An answer first, and a question last, which is shown.
  const WholeConversation padded = only(
      chatgpt({chatgpt_node("a", "root", "", "assistant", "Hello"), chatgpt_node("b", "a", "", "user", "Hi")}, "b"));
  EXPECT_THAT(lines(padded), ElementsAre("0>1 Q: ", "1>2 A: Hello", "2>3 Q: Hi", "3>4 A: "));
  EXPECT_EQ(padded.shown, 4);
  EXPECT_EQ(padded.answers.size(), 2u);
  // Versions of what goes on in another message.
  EXPECT_THAT(lines(only(chatgpt(
                  {chatgpt_node("q", "root", "", "user", "Q"), chatgpt_node("a", "q", R"("b","c")", "assistant", "1"),
                   chatgpt_node("b", "a", "", "assistant", "2"), chatgpt_node("c", "a", "", "user", "3")},
                  "b"))),
              ElementsAre("0>1 Q: Q", "1>2 A: 1", "1>3 A: 1\n\n2", "2>4 Q: 3", "4>5 A: "));
}

TEST(ChatGpt, TakesThoughtsPicturesAndHalfCharacters) {
  const std::string nodes =
      R"("q":{"parent":null,"message":{"author":{"role":"user"},"content":{"content_type":"multimodal_text","parts":)"
      R"([{"content_type":"image_asset_pointer"},"What is it? \ud83d\ude42 \ud83d \\ud83d"]}}},)"
      R"("t":{"parent":"q","message":{"author":{"role":"assistant"},"content":{"content_type":"thoughts","thoughts":)"
      R"([{"summary":"s","content":"Hm"},{"content":"Well"}]}}},)"
      R"("a":{"parent":"t","message":{"author":{"role":"assistant"},"content":{"content_type":"text","parts":["A cat"]}}})";
  EXPECT_THAT(lines(only(chatgpt({nodes}, "a"))),
              ElementsAre("0>1 Q: [image]\n\nWhat is it? 🙂 \uFFFD \\ud83d", "1>2 A: (Hm\n\nWell) A cat"));
}

TEST(ChatGpt, SaysWhereItIsNotAsItShouldBe) {
  const std::string good = chatgpt({chatgpt_node("q", "root", "", "user", "Why?")}, "q");
  const auto with = [&](const std::string& what, const std::string& instead) {
    std::string text = good;
    return text.replace(text.find(what), what.size(), instead);
  };
  EXPECT_EQ(error_of(good), "");
  EXPECT_EQ(error_of(with("\"parent\":\"root\"", "\"parent\":\"q\"")),
            "file: conversation 1 (T): message 'q' follows itself");
  EXPECT_EQ(error_of(with("\"parent\":\"root\"", "\"parent\":5")),
            "file: conversation 1 (T): message 'q' has a 'parent' that is not text");
  EXPECT_EQ(error_of(with("[\"Why?\"]", "[7]")),
            "file: conversation 1 (T): message 'q', a part of it, is not an object");
  EXPECT_EQ(error_of("[{\"mapping\":{\"x\":1}}, 3]"), "file: conversation 1: message 'x' is not an object");
  EXPECT_EQ(error_of("[{\"mapping\":{}}, 3]"), "file: conversation 2: it is not an object");
  EXPECT_EQ(error_of("[{\"mapping\":{}}, {\"title\":\"x\"}]"),
            "file: conversation 2 (x): it is neither ChatGPT's nor Open WebUI's");
}

TEST(ChatGpt, GoesOnAfterAConversationThatCannotBeRead) {
  const std::vector<Imported> all =
      read("[{\"mapping\":5}," + chatgpt({chatgpt_node("q", "root", "", "user", "Why?")}, "q").substr(1));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_TRUE(all[0].error);
  EXPECT_EQ(all[1].place, 2u);
  EXPECT_TRUE(all[1].conversation);
}

TEST(OpenWebUi, KeepsItsTree) {
  const WholeConversation read = only(
      R"([{"id":"0d5d8d7e-93c4-4a3c-9d0c-000000000001","title":"W","created_at":1700000000,"updated_at":1700000100,)"
      R"("pinned":true,"archived":false,"meta":{},"chat":{"title":"W","models":["m"],"history":{"currentId":"c","messages":{)"
      R"("a":{"id":"a","parentId":null,"childrenIds":["b","c"],"role":"user","content":"Why?","timestamp":1700000001},)"
      R"("b":{"id":"b","parentId":"a","childrenIds":[],"role":"assistant","content":"First","timestamp":1700000002},)"
      R"("c":{"id":"c","parentId":"a","childrenIds":[],"role":"assistant","content":)"
      R"("<details type=\"reasoning\" done=\"true\" duration=\"3\">\n<summary>Thought for 3 seconds</summary>\n)"
      R"(&gt; a &lt; b &amp;&amp; c\n> more\n</details>\nBecause","timestamp":1700000003}}}}}])");
  EXPECT_EQ(read.id, "0d5d8d7e93c44a3c9d0c000000000001");
  EXPECT_TRUE(read.pinned);
  EXPECT_EQ(read.changed, 1'700'000'100'000);
  EXPECT_THAT(lines(read), ElementsAre("0>1 Q: Why?", "1>2 A: First", "1>3 A: (a < b && c\nmore) Because"));
  EXPECT_EQ(read.shown, 3);
}

TEST(Files, OfNothingAreNothing) {
  EXPECT_TRUE(read("[]").empty());
  EXPECT_TRUE(read(export_begin() + std::string(export_end)).empty());
  EXPECT_FALSE(read("[{\"mapping\":{}}]").at(0).conversation);
}

TEST(Files, ThatAreNoneSaySo) {
  EXPECT_THAT(error_of(""), HasSubstr("file: is not JSON: byte 1"));
  EXPECT_THAT(error_of("[{\"mapping\":"), HasSubstr("is not JSON: byte"));
  EXPECT_THAT(error_of("\"\xFF\""), HasSubstr("is not JSON"));
  EXPECT_THAT(error_of(std::string("[]\0{", 4)), HasSubstr("is not JSON: byte 3"));
  EXPECT_THAT(error_of("{}"), HasSubstr("no conversations that this program knows"));
  EXPECT_THAT(error_of("7"), HasSubstr("no conversations that this program knows"));
  EXPECT_THAT(error_of("[{\"messages\":[]}]"), HasSubstr("no conversations that this program knows"));
  EXPECT_THAT(error_of(R"({"version":2,"conversations":[],"format":"smollm3-conversations"})"),
              HasSubstr("later version"));
  EXPECT_THAT(error_of(std::string(100'000, '[')), HasSubstr("nested too deeply"));
  EXPECT_THAT(error_of(std::string(100'000, '[') + std::string(100'000, ']')), HasSubstr("nested too deeply"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(error_of(objects), HasSubstr("nested too deeply"));
}

TEST(Files, OfLongChainsAreReadInTimeAndWithinBounds) {
  // Each node's parent is the one before; as many as are allowed, all of one role: one message.
  std::string nodes;
  for (int i = 0; i < 99'000; ++i) {
    nodes += (i > 0 ? ",\"" : "\"") + std::to_string(i) + R"(":{"parent":)" +
             (i > 0 ? "\"" + std::to_string(i - 1) + "\"" : "null") +
             R"(,"message":{"author":{"role":"user"},"content":{"parts":["x"]}}})";
  }
  EXPECT_EQ(only("[{\"mapping\":{" + nodes + "}}]").messages.size(), 2u);
  EXPECT_THAT(error_of("[{\"mapping\":{" + nodes + ",\"y\":{},\"z\":{}}}]"), testing::IsEmpty());
  // Versions of versions, each with the text of all before it.
  std::string versions;
  for (int i = 0; i < 30'000; ++i) {
    const std::string parent = i > 0 ? "\"v" + std::to_string(i - 1) + "\"" : "null";
    for (const char* name : {"v", "w"}) {
      versions += (versions.empty() ? "\"" : ",\"") + (name + std::to_string(i)) + R"(":{"parent":)" + parent +
                  R"(,"message":{"author":{"role":"user"},"content":{"parts":["xxxxxxxxxxxxxxxxxxxx"]}}})";
    }
  }
  EXPECT_THAT(error_of("[{\"mapping\":{" + versions + "}}]"), HasSubstr("MiB of text"));
}

std::string exported(const WholeConversation& conversation) {
  return export_begin() + to_json(conversation) + std::string(export_end);
}

TEST(OwnFiles, HaveAllThatThereIs) {
  WholeConversation one;
  one.id = std::string(32, 'a');
  one.title = "Title\n\"";
  one.created = 1;
  one.changed = 2;
  one.pinned = true;
  one.shown = 4;
  one.messages = {
      {.number = 1, .text = "Why?", .created = 5},
      {.number = 2,
       .parent = 1,
       .role = Role::Assistant,
       .thinking = "Hm",
       .text = "So",
       .asked = R"({"think":true})",
       .ended = R"({"finish":"stop"})",
       .created = 6},
      {.number = 3, .parent = 2, .text = ""},
      {.number = 4, .parent = 3, .role = Role::Assistant, .condition = Condition::Interrupted, .text = "An"}};
  one.answers[2] = {.settings = "[1,2]",
                    .fingerprint = {.tokenizer = "t", .whole = "w"},
                    .prompt = {.ids = {1, 2, 3, 4}, .generated = {0b0110}},
                    .said = {.ids = {9, 8}, .generated = {3}},
                    .epoch = 2};
  one.answers[4] = {.settings = "not JSON", .last_event = 7, .writing_seconds = 0.1, .thinking_seconds = 1e-9};
  const std::string text = exported(one);
  EXPECT_THAT(
      text, HasSubstr(R"("prompt":[{"given":[1]},{"generated":[2,3]},{"given":[4]}],"tokens":[{"generated":[9,8]}])"));
  EXPECT_THAT(text, HasSubstr(R"("asked":{"think":true},"ended":{"finish":"stop"},"settings":[1,2])"));
  EXPECT_EQ(exported(only(text)), text);
  EXPECT_EQ(only(text).answers.at(4).last_event, 7u);
  EXPECT_EQ(only(text).answers.at(2).prompt, one.answers[2].prompt);
  EXPECT_EQ(digest_of(one).size(), 32u);
}

TEST(OwnFiles, ThatNoExportWritesSayWhatIsWrong) {
  const std::string good = export_begin() +
                           R"({"id":"x","title":"T","shown":2,"messages":[{"number":1,"role":"user","text":"Q"},)"
                           R"({"number":2,"parent":1,"role":"assistant","text":"A","ended":{}}]})" +
                           std::string(export_end);
  const auto with = [&](const std::string& what, const std::string& instead) {
    std::string text = good;
    return error_of(text.replace(text.find(what), what.size(), instead));
  };
  EXPECT_EQ(error_of(good), "");
  EXPECT_EQ(with("\"shown\":2", "\"shown\":1"),
            "file: conversation 1 (T): it has a 'shown' that is not one of its answers");
  EXPECT_EQ(with("\"parent\":1", "\"parent\":2"), "file: conversation 1 (T): message 2 follows a later one");
  EXPECT_EQ(with("\"parent\":1", "\"parent\":0"), "file: conversation 1 (T): message 2 is not in turn");
  EXPECT_EQ(with("\"number\":2", "\"number\":1"),
            "file: conversation 1 (T): message 2 has a 'number' that is not above that of the message before");
  EXPECT_EQ(with("\"number\":2", "\"number\":2.5"),
            "file: conversation 1 (T): message 2 has a 'number' that is not a whole number from 0 to 2147483647");
  EXPECT_EQ(with(",\"ended\":{}", ""), "file: conversation 1 (T): message 2 has no 'ended'");
  EXPECT_EQ(with("assistant", "system"),
            "file: conversation 1 (T): message 2 is neither the user's nor the assistant's");
  EXPECT_EQ(with("\"text\":\"A\"", R"("prompt":[{"given":[8388608]}])"),
            "file: conversation 1 (T): message 2, 'prompt', has what is no token");
  EXPECT_EQ(with("]}\n", ",{\"number\":3,\"parent\":2,\"role\":\"user\"}]}\n"),
            "file: conversation 1 (T): it has no answer to message 3");
}

TEST(Markdown, HasTheShownBranch) {
  Conversation one;
  one.title = "A\nB";
  one.created = 1'700'000'000'000;
  one.shown = 3;
  one.messages = {{.number = 1, .text = "Why?"},
                  {.number = 2, .parent = 1, .role = Role::Assistant, .text = "another"},
                  {.number = 3,
                   .parent = 1,
                   .role = Role::Assistant,
                   .condition = Condition::Interrupted,
                   .thinking = "Hm\n\nWell",
                   .text = "Because\n"}};
  EXPECT_EQ(
      to_markdown(one),
      "# A B\n\n*2023-11-14 22:13 UTC*\n\n## User\n\nWhy?\n\n## Assistant\n\n<details>\n<summary>Thinking</summary>\n\n"
      "> Hm\n> \n> Well\n\n</details>\n\nBecause\n\n*(interrupted)*\n");
}

}  // namespace
}  // namespace store
