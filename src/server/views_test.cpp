#include "server/views.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <regex>

namespace server {
namespace {

using testing::HasSubstr;
using testing::Not;

const ModelFacts facts{.name = "<b>Model</b>", .device = "cpu", .mode = "exact", .context = 4096};

const std::string id = "0123456789abcdef0123456789abcdef";

Round round_of(std::string prompt, const std::vector<engine::What>& events = {}) {
  engine::Journal journal;
  for (const engine::What& event : events) journal.append(event);
  return {.prompt = std::move(prompt), .answer = answer_of(journal), .facts = facts};
}

ChatPage page_with(Round round) {
  ChatPage page{.address = {.id = id}};
  page.rounds.push_back(std::move(round));
  return page;
}

TEST(Views, AnEmptyConversationGreets) {
  const std::string page = chat_page({.address = {.id = id}}, facts);
  EXPECT_THAT(page, HasSubstr("id=\"greeting\""));
  EXPECT_THAT(page, HasSubstr("hx-post=\"/c/0123456789abcdef0123456789abcdef/messages\""));
  EXPECT_THAT(page, HasSubstr("&lt;b&gt;Model&lt;/b&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("<b>Model")));
}

// The policy allows neither, and the page must not lean on either.
TEST(Views, PagesHaveNoInlineScriptOrStyle) {
  const std::string attack = "<script>x</script> style=\"x\" onclick=\"x\"";
  const engine::Done failed{.finish = engine::Finish::Failed, .error = base::Error(attack, attack)};
  ChatPage attacked = page_with(round_of(attack, {engine::Thinking{attack}, engine::Answer{attack}, failed}));
  attacked.title = attack;
  attacked.list = {{.id = id, .title = attack}};
  const std::string page = chat_page(attacked, facts);
  EXPECT_FALSE(std::regex_search(page, std::regex(R"(<script(?![^>]* src="/assets/))")));
  EXPECT_FALSE(std::regex_search(page, std::regex(R"(<style)")));
  EXPECT_FALSE(std::regex_search(page, std::regex(R"(<[^>]* (style|on\w+)=["'])")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
}

TEST(Views, AnOpenAnswerIsLeftToItsStream) {
  const std::string fragment = sent_fragment({.id = id}, round_of("hi"));
  EXPECT_THAT(fragment, HasSubstr("hx-sse:connect=\"/c/0123456789abcdef0123456789abcdef/stream/0\""));
  EXPECT_THAT(fragment, HasSubstr("id=\"a0-thinking\""));
  EXPECT_THAT(fragment, HasSubstr("id=\"a0-status\""));
  const engine::Done failed{.finish = engine::Finish::Failed, .error = base::Error("the prompt", "is too long")};
  EXPECT_EQ(sent_fragment({.id = id}, round_of("hi", {failed})), fragment)
      << "the stream tells it, whether or not it is faster than the page";
  const engine::Done stopped{.finish = engine::Finish::Cancelled};
  const std::string over = chat_page(page_with(round_of("hi", {engine::Answer{"Hel"}, stopped})), facts);
  EXPECT_THAT(over, Not(HasSubstr("hx-sse:connect")));
  EXPECT_THAT(over, HasSubstr("Stopped."));
}

TEST(AnswerView, TellsOnlyWhatIsNew) {
  Answer answer;
  AnswerView view(0, facts);
  EXPECT_EQ(view.update(answer), "");
  answer.thinking = "First <i>";
  std::string update = view.update(answer);
  EXPECT_THAT(update, HasSubstr("<details class=\"thinking\" id=\"a0-thinking\" open>"));
  EXPECT_THAT(update, HasSubstr("First &lt;i&gt;"));
  EXPECT_THAT(update, HasSubstr("Thinking…"));
  answer.thinking += ", then";
  update = view.update(answer);
  EXPECT_THAT(update, HasSubstr(">, then<"));
  EXPECT_THAT(update, Not(HasSubstr("First")));
  EXPECT_FALSE(view.just_thought());

  answer.text = "One.\n\nTwo";
  answer.progress.thinking_seconds = 2.6;
  update = view.update(answer);
  EXPECT_TRUE(view.just_thought());
  EXPECT_THAT(update, HasSubstr("Thought for 3 s"));
  EXPECT_THAT(update, HasSubstr("id=\"a0-b1\"><p>Two</p>"));
  answer.text += " more";
  update = view.update(answer);
  EXPECT_FALSE(view.just_thought());
  EXPECT_THAT(update, HasSubstr("hx-target=\"#a0-b1\" hx-swap=\"innerMorph\"><p>Two more</p>"));
  EXPECT_THAT(update, Not(HasSubstr("One.")));
  EXPECT_EQ(view.update(answer), "");

  answer.done = engine::Done{.usage = {.prompt_tokens = 10, .generated_tokens = 21, .generate_seconds = 2}};
  update = view.update(answer);
  EXPECT_THAT(update, HasSubstr("21 tokens"));
  EXPECT_EQ(view.update(answer), "");
}

TEST(AnswerView, SaysWhatIsWaitedFor) {
  Answer answer;
  AnswerView view(0, facts);
  EXPECT_EQ(view.update(answer), "") << "the dots are there";
  answer.progress = {.state = engine::State::Queued, .ahead = 2, .prompt_tokens = 1000};
  EXPECT_THAT(view.update(answer), HasSubstr("Waiting: 2 answers come first."));
  answer.progress = {.state = engine::State::Reading, .prompt_tokens = 1000, .prompt_done = 500};
  EXPECT_THAT(view.update(answer), HasSubstr("Reading… 50 % of 1,000 tokens"));
  answer.progress.state = engine::State::Writing;
  answer.text = "x";
  EXPECT_THAT(view.update(answer), HasSubstr("hx-target=\"#a0-status\""));
}

// The oracle: a page that follows every update shows the same blocks as one that is loaded at the end.
TEST(AnswerView, UpdatesAddUpToTheWholeAnswer) {
  const std::vector<std::string> parts{
      "# T\n", "text ",       "**b**",       "\n\n",        "- a\n", "- b\n", "```\n",  "x < y\n",
      "```\n", "| a | b |\n", "|---|---|\n", "| 1 | 2 |\n", "---\n", "> q\n", "1. n\n", "[r]\n\n[r]: https://e.org\n",
      "<b>",   "\n"};
  const std::regex partial(
      R"re(<hx-partial hx-target="#a0-(b\d+|text)" hx-swap="(innerMorph|beforeend|delete)">([\s\S]*?)</hx-partial>)re");
  const std::regex wrapper(R"re(^<div class="block" id="a0-(b\d+)">([\s\S]*)</div>$)re");
  std::mt19937 random(7);
  for (int trial = 0; trial < 300; ++trial) {
    Answer answer;
    AnswerView view(0, facts);
    std::map<std::string, std::string> shown;
    for (int step = 0; step < 12; ++step) {
      for (std::size_t i = random() % 3; i > 0; --i) answer.text += parts[random() % parts.size()];
      const std::string update = view.update(answer);
      for (std::sregex_iterator it(update.begin(), update.end(), partial), end; it != end; ++it) {
        const std::string target = (*it)[1], how = (*it)[2], html = (*it)[3];
        std::smatch block;
        if (how == "innerMorph") {
          shown.at(target) = html;
        } else if (how == "delete") {
          shown.erase(target);
        } else if (std::regex_match(html, block, wrapper)) {
          shown[block[1]] = block[2];
        }
      }
    }
    const std::string page = chat_page(page_with(round_of("hi", {engine::Answer{answer.text}, engine::Done{}})), facts);
    for (const auto& [block, html] : shown)
      EXPECT_THAT(page, HasSubstr("<div class=\"block\">" + html + "</div>")) << answer.text;
    std::size_t blocks = 0;
    for (std::size_t at = 0; (at = page.find("<div class=\"block\">", at)) != std::string::npos; ++at) ++blocks;
    EXPECT_EQ(shown.size(), blocks) << answer.text;
  }
}

}  // namespace
}  // namespace server
