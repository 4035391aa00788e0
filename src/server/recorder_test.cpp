#include "server/recorder.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "server/answer.h"
#include "server/saved_answer.h"
#include "store/test_place.h"

namespace server {
namespace {

class Recording : public testing::Test {
 protected:
  store::AnswerId accept(const std::string& conversation) {
    return database.accept({.account = "local", .conversation = conversation, .text = "?", .asked = "{}", .now = 1});
  }
  store::Message message(const store::AnswerId& id) {
    return *database.conversation("local", id.conversation)->find(id.number);
  }
  void TearDown() override { database.check(); }

  store::TestPlace place;
  store::Database database{place.where()};
  Recorder recorder;
};

using Asked = std::shared_ptr<engine::Generation>;

Asked generation() { return std::make_shared<engine::Generation>(nullptr); }

void say(const Asked& one, engine::Token token, const std::string& text, bool thinks = false) {
  one->journal().say(std::vector{token}, 1, 0.5);
  if (thinks) {
    one->journal().append(engine::Thinking{text});
  } else {
    one->journal().append(engine::Answer{text});
  }
}

TEST_F(Recording, KeepsWhatIsSaidAndThenTheEnd) {
  const store::AnswerId id = accept("c");
  const Asked one = generation();
  recorder.follow(id, one);
  EXPECT_TRUE(recorder.record(database).empty());
  say(one, 7, "Hm", /*thinks=*/true);
  say(one, 8, "Be");
  recorder.record(database);
  recorder.record(database);
  EXPECT_EQ(message(id).thinking, "Hm");
  EXPECT_EQ(message(id).text, "Be");
  EXPECT_EQ(message(id).condition, store::Condition::Open);
  const auto unfinished = database.unfinished();
  ASSERT_EQ(unfinished.size(), 1u);
  EXPECT_EQ(unfinished[0].said, (std::vector<std::int32_t>{7, 8}));
  EXPECT_EQ(unfinished[0].last_event, 2u);

  say(one, 9, "cause");
  one->journal().append(engine::Answer{"."});  // held back until the end
  one->journal().append(engine::Done{.usage = {.generated_tokens = 3}});
  EXPECT_EQ(recorder.record(database), std::vector{id});
  EXPECT_TRUE(recorder.record(database).empty());
  EXPECT_EQ(message(id).text, "Because.");
  EXPECT_EQ(message(id).condition, store::Condition::Whole);
  EXPECT_EQ(done_from(message(id).ended).usage.generated_tokens, 3u);
}

TEST_F(Recording, TellsThePausedFromTheOpen) {
  const store::AnswerId id = accept("c");
  const Asked one = generation();
  recorder.follow(id, one);
  one->pause();
  recorder.record(database);
  EXPECT_EQ(message(id).condition, store::Condition::Paused);
  one->resume();
  recorder.record(database);
  EXPECT_EQ(message(id).condition, store::Condition::Open);
}

TEST_F(Recording, LetsGoOfAnswersAsTheyAre) {
  const store::AnswerId id = accept("c");
  const Asked one = generation();
  recorder.follow(id, one);
  say(one, 7, "So");
  recorder.record(database);
  recorder.let_go();
  one->journal().append(engine::Done{.finish = engine::Finish::Cancelled});
  EXPECT_TRUE(recorder.record(database).empty());
  EXPECT_EQ(message(id).condition, store::Condition::Open);
}

// Of many that are written, recorded at random instants, and gone on with by other recorders, as after restarts, the
// store has in the end what their journals have.
TEST_F(Recording, OfManyHasWhatTheirJournalsHave) {
  std::mt19937 random(1);
  std::vector<std::pair<store::AnswerId, Asked>> all;
  for (int i = 0; i < 8; ++i) {
    all.emplace_back(accept("c" + std::to_string(i)), generation());
    recorder.follow(all.back().first, all.back().second);
  }
  for (int step = 0; step < 400; ++step) {
    const auto& [id, one] = all[random() % all.size()];
    if (!one->journal().over()) {
      const std::string text(1 + random() % 3, static_cast<char>('a' + random() % 26));
      say(one, static_cast<engine::Token>(random() % 100), text, one->journal().last_event() < 5);
      if (random() % 60 == 0) one->journal().append(engine::Done{});
    }
    if (random() % 3 == 0) recorder.record(database);
    if (random() % 40 == 0) {
      recorder = {};
      for (const store::Unfinished& kept : database.unfinished()) {
        const auto same = std::ranges::find(all, kept.answer, &std::pair<store::AnswerId, Asked>::first);
        recorder.follow(kept.answer, same->second, kept.said.size(), kept.last_event);
      }
    }
  }
  for (const auto& [id, one] : all) {
    if (!one->journal().over()) one->journal().append(engine::Done{});
  }
  recorder.record(database);
  for (const auto& [id, one] : all) {
    const Answer answer = answer_of(one->journal());
    EXPECT_EQ(message(id).thinking, answer.thinking);
    EXPECT_EQ(message(id).text, answer.text);
    EXPECT_EQ(message(id).condition, store::Condition::Whole);
  }
}

}  // namespace
}  // namespace server
