// Conversations beyond the end of the server that they were begun with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "server/chat.h"
#include "server/fake_exchange.h"
#include "server/fake_page.h"
#include "server/test_models.h"

namespace server {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string conversation = "/c/0123456789abcdef0123456789abcdef";

class Restarting : public testing::Test {
 protected:
  // One that talks until its context is full: many times as long as even a fast machine needs until it is stopped.
  std::unique_ptr<Site> start(bool resume = true, std::filesystem::path model = endless_model(),
                              std::uint32_t context = 5120) {
    return std::make_unique<Site>([=] { return make_engine(model, context); }, place.where(), resume);
  }
  static Site::Asked send(Site& site, const std::string& text, int after = 0) {
    return site.post(conversation + "/messages", "text=" + text + "&think=1&after=" + std::to_string(after));
  }
  // As a server that is stopped in order and does not wait.
  static void stop(std::unique_ptr<Site>& site) {
    const auto over = site->call({}, [&](FakeExchange&) { return site->routes.let_go(); });
    site->until_over(over);
    site.reset();
  }
  static FakePage watched(Site& site, int number = 2, const std::string& last_event_id = {}) {
    const auto stream = site.get(conversation + "/stream/" + std::to_string(number), last_event_id);
    site.until_over(stream);
    FakePage page;
    page.take(stream->sent);
    return page;
  }
  store::Message stored(int number = 2) {
    store::Database database(place.where());
    database.check();
    return *database.conversation("local", "0123456789abcdef0123456789abcdef")->find(number);
  }

  store::TestPlace place;
};

TEST_F(Restarting, AnAnswerGoesOnAndEndsAsIfNothingHadBeen) {
  auto site = start();
  send(*site, "Go");
  FakePage page;  // follows it through all servers
  for (int restarts = 0; restarts < 3; ++restarts) {
    const auto stream = site->get(conversation + "/stream/2", page.last_id);
    site->until([&] { return stream->pieces >= 2 || stream->over; });
    stop(site);
    page.take(stream->sent);
    ASSERT_EQ(stored().condition, store::Condition::Open);
    site = start();
  }
  const auto last = site->get(conversation + "/stream/2", page.last_id);
  site->until_over(last);
  page.take(last->sent);
  site->until([&] { return stored().condition == store::Condition::Whole; });
  const FakePage late = watched(*site);
  EXPECT_EQ(page.thinking, late.thinking);
  EXPECT_EQ(page.blocks, late.blocks);
  const store::Message restarted = stored();
  site.reset();

  EXPECT_GT(restarted.thinking.size() + restarted.text.size(), 1000u);
}

TEST_F(Restarting, WhoDoesNotWantItIsOfferedToContinue) {
  auto site = start();
  send(*site, "Go");
  const auto stream = site->get(conversation + "/stream/2");
  site->until([&] { return stream->pieces >= 2 || stream->over; });
  stop(site);
  site = start(/*resume=*/false);
  site->until([&] { return stored().condition == store::Condition::Interrupted; });
  EXPECT_THAT(site->get(conversation)->response->body, HasSubstr("Interrupted."));
  EXPECT_EQ(site->engines.load().running, 0u);
  EXPECT_EQ(site->post(conversation + "/continue", "")->header("HX-Refresh"), "true");
  EXPECT_THAT(site->get(conversation)->response->body, HasSubstr("hx-sse:connect"));
  watched(*site);
  site->until([&] { return stored().condition == store::Condition::Whole; });
}

TEST_F(Restarting, AnotherModelDoesNotGoOnByItself) {
  auto site = start();
  send(*site, "Go");
  const auto stream = site->get(conversation + "/stream/2");
  site->until([&] { return stream->pieces >= 2 || stream->over; });
  stop(site);
  site = start(/*resume=*/true, demo_model());
  site->until([&] { return stored().condition == store::Condition::Interrupted; });
  EXPECT_THAT(site->get(conversation)->response->body, HasSubstr("Interrupted."));
  // It has another vocabulary.
  EXPECT_EQ(site->post(conversation + "/continue", "")->response->status, 409u);
  EXPECT_EQ(stored().condition, store::Condition::Interrupted);
  EXPECT_EQ(send(*site, "What+is+12+%2B+34%3F", 2)->response->status, 200u);
  EXPECT_THAT(watched(*site, 4).shown(), HasSubstr("46"));
}

TEST_F(Restarting, OneThatNeverGainsATokenIsNotBegunForEver) {
  auto site = start();
  const engine::Fingerprint fingerprint = site->engines.facts()->fingerprint;
  site.reset();
  {
    store::Database database(place.where());
    database.accept({.account = "local",
                     .conversation = "0123456789abcdef0123456789abcdef",
                     .text = "Go",
                     .asked = "{}",
                     .settings = "{}",
                     .fingerprint = {.tokenizer = fingerprint.tokenizer, .whole = fingerprint.whole},
                     .prompt = {.ids = {1, 2, 3}},
                     .now = 1});
    for (int i = 0; i < 2; ++i) database.resume({"0123456789abcdef0123456789abcdef", 2});
  }
  site = start();
  site->until([&] { return stored().condition == store::Condition::Interrupted; });
  EXPECT_EQ(site->engines.load().running, 0u);
  EXPECT_EQ(site->post(conversation + "/continue", "")->header("HX-Refresh"), "true") << "but whoever wants it";
  site->until([&] { return !stored().text.empty() || !stored().thinking.empty(); });
}

TEST_F(Restarting, AnAnswerThatIsDeletedAndBroughtBackAtOnceIsOne) {
  auto site = start();
  const std::string other = "/c/fedcba9876543210fedcba9876543210";
  for (int i = 0; i < 5; ++i) {
    const int after = 2 * i;
    ASSERT_EQ(send(*site, "Go", after)->response->status, 200u);
    site->post(other + "/messages", "text=Go&think=1&after=" + std::to_string(after));
    const std::string stream = "/stream/" + std::to_string(after + 2);
    const auto mine = site->get(conversation + stream), theirs = site->get(other + stream);
    site->until([&] { return (mine->pieces >= 2 || mine->over) && (theirs->pieces >= 2 || theirs->over); });
    site->post(conversation + "/remove", "");
    site->post(conversation + "/restore", "");
    Site::Asked again;
    site->until([&] {
      again = site->post(conversation + "/continue", "");
      return again->response->status != 409;
    });
    site->post(conversation + "/stop", "");
    site->post(other + "/stop", "");
    site->until([&] { return stored(after + 2).condition == store::Condition::Whole; });
    store::Database database(place.where());
    site->until([&] {
      return database.conversation("local", other.substr(3))->find(after + 2)->condition == store::Condition::Whole;
    });
    database.check();
  }
}

TEST_F(Restarting, APausedAnswerWaitsAndIsResumed) {
  auto site = start();
  send(*site, "Go");
  const auto stream = site->get(conversation + "/stream/2");
  site->until([&] { return stream->pieces >= 2 || stream->over; });
  site->post(conversation + "/pause", "");
  site->until([&] { return stored().condition == store::Condition::Paused; });
  stop(site);
  site = start();
  const auto back = site->get(conversation + "/stream/2");
  site->until([&] { return back->sent.find("Paused.") != std::string::npos; });
  EXPECT_EQ(site->engines.load().running, 0u);
  site->post(conversation + "/resume", "");
  site->until_over(back);
  site->until([&] { return stored().condition == store::Condition::Whole; });
}

TEST_F(Restarting, ASecondTurnFindsTheTokensOfTheFirst) {
  auto site = start(true, demo_model(), 4096);
  send(*site, "What+is+12+%2B+34%3F");
  watched(*site);
  stop(site);
  site = start(true, demo_model(), 4096);
  send(*site, "And+2+%2B+3%3F", 2);
  const FakePage page = watched(*site, 4);
  EXPECT_THAT(page.shown(), Not(HasSubstr("alert")));
  site->until([&] { return stored(4).condition == store::Condition::Whole; });
  store::Database database(place.where());
  const store::Tokens tokens =
      database.last_tokens("0123456789abcdef0123456789abcdef", site->engines.facts()->fingerprint.tokenizer);
  // Those of the first answer are marked as generated within the prompt of the second.
  std::size_t generated = 0;
  for (const std::uint64_t word : tokens.generated) generated += static_cast<std::size_t>(std::popcount(word));
  EXPECT_GT(generated, 10u);
}

}  // namespace
}  // namespace server
