#include "server/conversations.h"

#include <gtest/gtest.h>

namespace server {
namespace {

Round round_of(std::string prompt) {
  return {.prompt = std::move(prompt), .generation = std::make_shared<engine::Generation>(nullptr)};
}

Round answered(std::string prompt, std::string text, engine::Finish finish = engine::Finish::Stop) {
  Round round = round_of(std::move(prompt));
  if (!text.empty()) round.generation->journal().append(engine::Answer{std::move(text)});
  round.generation->journal().append(engine::Done{.finish = finish});
  return round;
}

std::string id_of(int i) {
  std::string digits = std::to_string(i);
  return std::string(32 - digits.size(), '0') + digits;
}

TEST(Conversations, IdsAreUnguessableAndTheOnlyOnesAccepted) {
  const std::string one = Conversations::new_id(), other = Conversations::new_id();
  EXPECT_TRUE(Conversations::is_id(one));
  EXPECT_NE(one, other);
  for (const char* no :
       {"", "abc", "../../etc/passwd", "0123456789abcdef0123456789abcdeg", "0123456789ABCDEF0123456789ABCDEF"}) {
    EXPECT_FALSE(Conversations::is_id(no)) << no;
  }
}

TEST(Conversations, DropsTheLongestUnused) {
  Conversations kept({.count = 3, .bytes = 1 << 20, .age = std::chrono::hours(1)});
  for (int i = 0; i < 3; ++i) kept.open(id_of(i));
  ASSERT_TRUE(kept.find(id_of(0)));
  kept.open(id_of(3));
  EXPECT_EQ(kept.size(), 3u);
  EXPECT_TRUE(kept.find(id_of(0)));
  EXPECT_FALSE(kept.find(id_of(1)));
  EXPECT_TRUE(kept.find(id_of(3)));
}

TEST(Conversations, ANeverEndingStreamOfThemStaysBounded) {
  Conversations kept({.count = 10, .bytes = 10'000, .age = std::chrono::hours(1)});
  for (int i = 0; i < 200; ++i) {
    kept.open(id_of(i))->rounds.push_back(answered(std::string(2'500, 'x'), std::string(1'500, 'y')));
    EXPECT_LE(kept.size(), 3u);
  }
}

TEST(Conversations, KeepsAPausedAnswerForAsLongAsThereIsRoom) {
  Conversations kept({.count = 2, .bytes = 1 << 20, .age = std::chrono::hours(0)});
  const auto generation = kept.open(id_of(0))->rounds.emplace_back(round_of("hi")).generation;
  generation->pause();
  kept.open(id_of(1));
  ASSERT_TRUE(kept.find(id_of(0))) << "whatever its age";
  kept.open(id_of(2))->rounds.push_back(round_of("under way"));
  kept.open(id_of(3))->rounds.push_back(round_of("under way"));
  kept.open(id_of(4));
  EXPECT_FALSE(kept.find(id_of(0)));
  EXPECT_TRUE(generation->cancel_asked()) << "it does not wait for ever where nobody can find it";
}

TEST(Conversations, KeepsOneThatIsBeingAnswered) {
  Conversations kept({.count = 1, .bytes = 1 << 20, .age = std::chrono::hours(1)});
  const Round& round = kept.open(id_of(0))->rounds.emplace_back(round_of("hi"));
  kept.open(id_of(1));
  ASSERT_TRUE(kept.find(id_of(0)));
  round.generation->journal().append(engine::Done{});
  kept.open(id_of(2));
  EXPECT_FALSE(kept.find(id_of(0)));
}

TEST(Conversations, ForgetsOldOnes) {
  Conversations kept({.count = 9, .bytes = 1 << 20, .age = std::chrono::hours(1)});
  kept.open(id_of(0))->used -= std::chrono::hours(2);
  EXPECT_FALSE(kept.find(id_of(0)));
}

TEST(Conversation, MessagesLeaveOutWhatFailed) {
  Conversation conversation;
  conversation.rounds = {answered("a", "A"), answered("b", "", engine::Finish::Failed),
                         answered("c", "C", engine::Finish::Cancelled)};
  EXPECT_EQ(conversation.messages("d").dump(),
            R"([{"role":"user","content":"a"},{"role":"assistant","content":"A"},)"
            R"({"role":"user","content":"c"},{"role":"assistant","content":"C"},{"role":"user","content":"d"}])");
}

}  // namespace
}  // namespace server
