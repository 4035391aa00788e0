#include "server/conversations.h"

#include <gtest/gtest.h>

namespace server {
namespace {

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
    kept.open(id_of(i))->rounds.push_back(
        {.prompt = std::string(5'000, 'x'), .answer = {.state = Answer::State::Finished}});
    EXPECT_LE(kept.size(), 3u);
  }
}

TEST(Conversations, KeepsOneThatIsBeingAnswered) {
  Conversations kept({.count = 1, .bytes = 1 << 20, .age = std::chrono::hours(1)});
  kept.open(id_of(0))->rounds.push_back({.prompt = "hi", .answer = {.state = Answer::State::Live}});
  kept.open(id_of(1));
  EXPECT_TRUE(kept.find(id_of(0)));
}

TEST(Conversations, QuestionsWhoseAnswersNobodyFetchesStayBounded) {
  Conversations kept({.count = 10, .bytes = 10'000, .age = std::chrono::hours(1)});
  for (int i = 0; i < 200; ++i) kept.open(id_of(i))->rounds.push_back({.prompt = std::string(5'000, 'x')});
  EXPECT_LE(kept.size(), 3u);
}

TEST(Conversations, ForgetsOldOnes) {
  Conversations kept({.count = 9, .bytes = 1 << 20, .age = std::chrono::hours(1)});
  kept.open(id_of(0))->used -= std::chrono::hours(2);
  EXPECT_FALSE(kept.find(id_of(0)));
}

TEST(Conversation, MessagesLeaveOutWhatFailed) {
  Conversation conversation;
  conversation.rounds = {{.prompt = "a", .answer = {.state = Answer::State::Finished, .thinking = "hm", .text = "A"}},
                         {.prompt = "b", .answer = {.state = Answer::State::Failed, .error = "full"}},
                         {.prompt = "c", .answer = {.state = Answer::State::Stopped, .text = "C"}},
                         {.prompt = "d"}};
  EXPECT_EQ(conversation.messages(3).dump(),
            R"([{"role":"user","content":"a"},{"role":"assistant","content":"A"},)"
            R"({"role":"user","content":"c"},{"role":"assistant","content":"C"},{"role":"user","content":"d"}])");
}

}  // namespace
}  // namespace server
