// The web chat, from the message to the last word of its answer.
#include "server/chat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "server/fake_exchange.h"
#include "server/fake_page.h"
#include "server/test_models.h"

namespace server {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string conversation = "/c/0123456789abcdef0123456789abcdef";
const std::string other = "/c/fedcba9876543210fedcba9876543210";

// Questions and answers take turns.
std::string number_of(int round) { return std::to_string(2 * round + 2); }

Site::Asked send(Site& site, const std::string& text, const std::string& to = conversation, int round = 0) {
  return site.post(to + "/messages", "text=" + text + "&think=1&after=" + std::to_string(2 * round));
}

// What a page shows at the end that follows from its first moment.
FakePage watched(Site& site, const std::string& to = conversation, int round = 0) {
  const auto stream = site.get(to + "/stream/" + number_of(round));
  site.until_over(stream);
  FakePage page;
  page.take(stream->sent);
  return page;
}

class Chatting : public testing::Test {
 protected:
  Site site{[] { return make_engine(demo_model()); }};
};

class ChattingForEver : public testing::Test {
 protected:
  Site site{[] { return make_engine(endless_model(), 8192, /*most_waiting=*/4); }};

  Site::Asked hear_words(const std::string& of) {
    const auto stream = site.get(of + "/stream/2");
    site.until([&] { return stream->pieces >= 4; });
    return stream;
  }
  // Takes more than half of the context, so that no other finds room beside it; the rest takes long to write.
  static std::string long_text() {
    std::string text;
    for (int i = 0; i < 1000; ++i) text += std::to_string(i) + "+";
    return text;
  }
};

TEST_F(Chatting, SendingStartsTheAnswerAndTheStreamFollows) {
  const auto sent = send(site, "What+is+12+%2B+34%3F");
  ASSERT_TRUE(sent->over);
  EXPECT_EQ(sent->response->status, 200u);
  EXPECT_THAT(sent->response->body, HasSubstr("hx-sse:connect=\"" + conversation + "/stream/2\""));
  const FakePage page = watched(site);
  EXPECT_THAT(page.events, Contains("thought"));
  EXPECT_EQ(page.events.back(), "done");
  EXPECT_FALSE(page.thinking.empty());
  EXPECT_THAT(page.thought, HasSubstr("Thought for"));
  EXPECT_THAT(page.blocks.at(0), HasSubstr("46"));
  EXPECT_THAT(page.outcome, HasSubstr("tokens"));
  const auto loaded = site.get(conversation);
  EXPECT_THAT(loaded->response->body, HasSubstr("<div class=\"block\">" + page.blocks.at(0) + "</div>"));
}

TEST_F(ChattingForEver, APausedAnswerSaysSoAndGoesOnWhenItIsResumed) {
  send(site, "Go+on");
  const auto stream = hear_words(conversation);
  EXPECT_EQ(site.post(conversation + "/pause", "")->response->status, 204u);
  site.until([&] { return stream->sent.find("Paused.") != std::string::npos; });
  EXPECT_EQ(site.engines.load().running, 0u);
  EXPECT_EQ(site.engines.load().paused, 1u);
  const auto loaded = site.get(conversation + "/stream/2");  // by another tab
  site.until([&] { return loaded->sent.find("Paused.") != std::string::npos; });
  const std::size_t heard = stream->sent.size();
  site.post(conversation + "/resume", "");
  site.until([&] { return stream->sent.size() > heard + 2000; });
  FakePage page;
  page.take(stream->sent);
  EXPECT_NE(page.status, "Paused.");
  site.post(conversation + "/pause", "");
  site.until([&] { return site.engines.load().paused == 1; });
  site.post(conversation + "/stop", "");
  site.until_over(stream);
  EXPECT_EQ(site.engines.load().paused, 0u);
}

TEST_F(Chatting, AnAnswerIsWrittenThoughNobodyFollows) {
  send(site, "What+is+12+%2B+34%3F");
  std::string body;
  site.until([&] {
    body = site.get(conversation)->response->body;
    return body.find("hx-sse:connect") == std::string::npos;
  });
  EXPECT_THAT(body, HasSubstr("46"));
}

TEST_F(Chatting, AllWhoFollowSeeTheSameAndOneWhoLeavesTakesNothingAlong) {
  send(site, "What+is+12+%2B+34%3F");
  const auto one = site.get(conversation + "/stream/2");
  const auto leaving = site.get(conversation + "/stream/2");
  site.until([&] { return leaving->pieces > 0; });
  leaving->leave();
  site.until([&] { return leaving->over; });
  const FakePage late = watched(site);
  site.until_over(one);
  FakePage first;
  first.take(one->sent);
  EXPECT_EQ(first.shown(), late.shown());
  EXPECT_EQ(first.last_id, late.last_id);
  EXPECT_THAT(first.shown(), HasSubstr("46"));
}

TEST_F(Chatting, APageWhoseNumberFitsNothingIsShownAllAnew) {
  send(site, "What+is+12+%2B+34%3F");
  const FakePage whole = watched(site);
  for (const char* id : {"0.999999", "1.3", "0.", ".1", "7", "-1", "x", "0.1x", "0.18446744073709551616"}) {
    const auto back = site.get(conversation + "/stream/2", id);
    site.until_over(back);
    FakePage page;
    page.take_fragment(
        R"(<hx-partial hx-target="#a2-text" hx-swap="beforeend"><div class="block" id="a2-b7">old</div></hx-partial>)");
    page.take(back->sent);
    EXPECT_EQ(page.shown(), whole.shown()) << id;
  }
}

TEST_F(Chatting, AConversationThatIsNotThereEndsTheWait) {
  const auto stream = site.get(other + "/stream/3");
  site.until_over(stream);
  FakePage page;
  page.take(stream->sent);
  EXPECT_THAT(page.outcome, HasSubstr("deleted"));
  EXPECT_THAT(page.events, ElementsAre("failed", "done"));
}

TEST_F(Chatting, WhatCannotBeAnsweredIsNotSent) {
  std::string book = "word";
  for (int i = 0; i < 5000; ++i) book += "+word";
  const auto refused = send(site, book);
  EXPECT_EQ(refused->response->status, 400u);
  EXPECT_THAT(refused->response->body, HasSubstr("the context holds"));
  EXPECT_EQ(site.get(conversation)->response->status, 404u);
  EXPECT_EQ(send(site, "What+is+12+%2B+34%3F")->response->status, 200u);
  EXPECT_THAT(watched(site).shown(), HasSubstr("46"));
}

TEST_F(Chatting, APageSaysOfAllItsAnswersWhatTheyWere) {
  send(site, "What+is+12+%2B+34%3F");
  const FakePage first = watched(site);
  send(site, "And+what+is+2+%2B+3%3F", conversation, 1);
  watched(site, conversation, 1);
  const std::string body = site.get(conversation)->response->body;
  EXPECT_THAT(body, HasSubstr(first.blocks.at(0)));
  EXPECT_THAT(body, HasSubstr("id=\"a4\""));
}

TEST_F(ChattingForEver, StopEndsAnAnswerAtOnce) {
  send(site, "Go");
  const auto stream = hear_words(conversation);
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(site.post(conversation + "/stop", "")->response->status, 204u);
  site.until_over(stream);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(3000));
  FakePage page;
  page.take(stream->sent);
  EXPECT_THAT(page.outcome, HasSubstr("Stopped."));
  EXPECT_THAT(site.get(conversation)->response->body, HasSubstr("Stopped."));
  site.until_idle();
}

TEST_F(ChattingForEver, LeavingAndComingBackLosesNothing) {
  send(site, "Go");
  const auto stream = hear_words(conversation);
  stream->leave();
  site.until([&] { return stream->over; });
  FakePage page;
  page.take(stream->sent);
  const std::string before = page.thinking + (page.blocks.empty() ? "" : page.blocks.at(0));
  EXPECT_EQ(site.engines.load().running, 1u);
  const auto back = site.get(conversation + "/stream/2", page.last_id);
  site.until([&] { return back->pieces >= 3; });
  site.post(conversation + "/stop", "");
  site.until_over(back);
  page.take(back->sent);
  EXPECT_EQ(page.shown(), watched(site).shown());
  EXPECT_GT((page.thinking + (page.blocks.empty() ? "" : page.blocks.at(0))).size(), before.size());
}

TEST_F(ChattingForEver, MessagesAreAtMostThirtyASecond) {
  send(site, "Go");
  const auto began = std::chrono::steady_clock::now();
  const auto stream = site.get(conversation + "/stream/2");
  site.until([&] { return stream->pieces >= 20 || stream->over; });  // it ends where the context is full
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  EXPECT_GT(stream->pieces, 2);
  EXPECT_GT(took.count(), static_cast<double>(stream->pieces - 2) / 30);  // the end waits for nothing
  site.post(conversation + "/stop", "");
  site.until_over(stream);
}

TEST_F(ChattingForEver, ASecondMessageWaitsForTheAnswerBefore) {
  send(site, "Go");
  const auto second = send(site, "More", conversation, 1);
  EXPECT_EQ(second->response->status, 409u);
  EXPECT_THAT(second->response->body, HasSubstr("still being written"));
  site.post(conversation + "/stop", "");
  watched(site);
  EXPECT_EQ(send(site, "More", conversation, 1)->response->status, 200u);
  site.post(conversation + "/stop", "");
  watched(site, conversation, 1);
}

TEST_F(ChattingForEver, WhoWaitsIsShownTheirPlaceAndMayGiveUp) {
  send(site, long_text());
  hear_words(conversation);
  std::vector<Site::Asked> streams;
  std::vector<std::string> ids;
  for (const char digit : {'1', '2', '3'}) {
    ids.push_back("/c/" + std::string(32, digit));
    EXPECT_EQ(send(site, long_text(), ids.back())->response->status, 200u);
    streams.push_back(site.get(ids.back() + "/stream/2"));
  }
  site.until([&] { return streams[2]->sent.find("2 answers come first") != std::string::npos; });
  site.post(ids[0] + "/stop", "");
  site.until_over(streams[0]);
  site.until([&] { return streams[2]->sent.find("one answer comes first") != std::string::npos; });
  site.post(conversation + "/stop", "");
  site.until([&] { return streams[1]->pieces > 4; });
  site.post(ids[2] + "/stop", "");
  site.until_over(streams[2]);
  FakePage page;
  page.take(streams[2]->sent);
  EXPECT_THAT(page.outcome, HasSubstr("Stopped."));
  site.post(ids[1] + "/stop", "");
  site.until_over(streams[1]);
  site.until_idle();
}

TEST_F(ChattingForEver, TooMuchIsRefusedAndTheMessageIsNotSent) {
  send(site, long_text());
  hear_words(conversation);
  Site::Asked refused;
  std::vector<std::string> ids;
  for (int i = 10; i < 20 && !refused; ++i) {
    ids.push_back("/c/" + std::to_string(i) + std::string(30, '0'));
    const auto asked = send(site, long_text(), ids.back());
    if (asked->response->status != 200) refused = asked;
  }
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->response->status, 503u);
  EXPECT_FALSE(refused->header("Retry-After").empty());
  EXPECT_THAT(refused->response->body, HasSubstr("class=\"notice\""));
  EXPECT_EQ(site.get(ids.back())->response->status, 404u);
  site.engines.stop();
  site.until_idle();
}

TEST_F(ChattingForEver, AServerThatGoesLeavesTheAnswerOpen) {
  send(site, "Go");
  const auto stream = hear_words(conversation);
  site.call({}, [this](FakeExchange&) { return site.routes.let_go(); });
  site.engines.stop();
  site.until_over(stream);
  EXPECT_THAT(stream->sent, testing::Not(HasSubstr("event: done")));
  EXPECT_EQ(send(site, "More", other)->response->status, 503u);
}

TEST_F(ChattingForEver, APageThatComesBackAtOnceWaitsForTheNextServerToGoOn) {
  send(site, "Go");
  hear_words(conversation);
  site.call({}, [this](FakeExchange&) { return site.routes.let_go(); });
  site.engines.stop();
  const std::string left = site.place.where() + "-left";
  std::filesystem::copy(site.place.where(), left);
  {
    Site next([] { return make_engine(endless_model(), 8192); }, left);
    const auto loaded = next.get(conversation);
    EXPECT_THAT(loaded->response->body, testing::Not(HasSubstr("Interrupted")));
    const auto stream = next.get(conversation + "/stream/2");
    next.until([&] { return stream->pieces >= 4; });
    EXPECT_THAT(stream->sent, testing::Not(HasSubstr("Interrupted")));
    next.post(conversation + "/stop", "");
    next.until_over(stream);
  }
  std::filesystem::remove_all(left);
}

}  // namespace
}  // namespace server
