// Conversations from one store to another.
#include <gtest/gtest.h>

#include <random>

#include "store/database.h"
#include "store/export.h"
#include "store/import.h"
#include "store/random_conversation.h"
#include "store/test_place.h"

namespace store {
namespace {

const Listing everything{.shelf = Listing::Shelf::All};

std::string exported(Database& database) {
  std::string text = export_begin();
  for (const ConversationHead& head : database.list(local_account, 1000, everything)) {
    text += to_json(database.whole(local_account, head.id).value()) + "\n";
  }
  return text;
}

class Transfers : public testing::Test {
 protected:
  TestPlace first_place_, second_place_;
  Database first_{first_place_.where()}, second_{second_place_.where()};
  std::mt19937 random_{1};
};

TEST_F(Transfers, LoseNothing) {
  for (int i = 0; i < 30; ++i) {
    EXPECT_TRUE(first_.add(local_account, random_conversation(random_)));
  }
  first_.check();
  const std::string text = exported(first_);
  for (const ConversationHead& head : first_.list(local_account, 1000, everything)) {
    const std::string file =
        export_begin() + to_json(first_.whole(local_account, head.id).value()) + std::string(export_end);
    read_conversations("file", file, [&](Imported one) {
      EXPECT_TRUE(second_.add(local_account, std::move(one.conversation).value()));
    });
  }
  second_.check();
  EXPECT_EQ(exported(second_), text);
}

TEST_F(Transfers, DuplicateWhatWasSaidUpToAnAnswer) {
  for (int i = 0; i < 20; ++i) {
    const WholeConversation one = random_conversation(random_);
    ASSERT_TRUE(first_.add(local_account, one));
    for (const auto& [answer, record] : one.answers) {
      const std::string id = random_id(random_);
      EXPECT_FALSE(first_.duplicate("other", one.id, answer, id, 7));
      EXPECT_FALSE(first_.duplicate(local_account, one.id, answer - 1, id, 7)) << "a question";
      ASSERT_TRUE(first_.duplicate(local_account, one.id, answer, id, 7));
      const WholeConversation original = first_.whole(local_account, one.id).value();
      const WholeConversation copy = first_.whole(local_account, id).value();
      const auto path = original.path_to(answer);
      ASSERT_EQ(copy.messages.size(), path.size());
      for (std::size_t n = 0; n < path.size(); ++n) {
        EXPECT_EQ(copy.messages[n].number, path[n]->number);
        EXPECT_EQ(copy.messages[n].text, path[n]->text);
        EXPECT_EQ(copy.messages[n].condition, path[n]->condition);
      }
      EXPECT_EQ(copy.answers.at(answer).said.ids, original.answers.at(answer).said.ids);
      EXPECT_EQ(copy.answers.size(), path.size() / 2);
      EXPECT_EQ(copy.title, original.title);
      EXPECT_EQ(copy.tags, original.tags);
      EXPECT_EQ(copy.changed, 7);
      EXPECT_EQ(copy.shown, answer);
    }
  }
  first_.check();
}

TEST_F(Transfers, DoNotDoubleWhatIsThere) {
  WholeConversation one = random_conversation(random_);
  const std::string id = one.id;
  EXPECT_TRUE(first_.add(local_account, one));
  EXPECT_FALSE(first_.add(local_account, one));
  first_.rename(local_account, id, "Another");
  EXPECT_FALSE(first_.add(local_account, one));
  EXPECT_EQ(first_.conversation(local_account, id)->title, "Another");
  // One that was removed comes back.
  first_.remove(local_account, id, 5);
  EXPECT_TRUE(first_.add(local_account, one));
  EXPECT_EQ(first_.list(local_account, 10, everything).size(), 1u);
  // An older state of it is in it; another of the same id is another.
  WholeConversation longer = one;
  const std::int64_t last = longer.messages.back().number;
  longer.messages.push_back({.number = last + 1, .parent = longer.shown, .text = "And?"});
  longer.messages.push_back(
      {.number = last + 2, .parent = last + 1, .role = Role::Assistant, .text = "So", .ended = "{}"});
  longer.shown = last + 2;
  EXPECT_TRUE(first_.add(local_account, longer));
  EXPECT_FALSE(first_.add(local_account, longer));
  EXPECT_FALSE(first_.add(local_account, one));
  EXPECT_EQ(first_.list(local_account, 10, everything).size(), 2u);
  // Of another account, it is out of sight and in the way.
  EXPECT_THROW(first_.add("other", one), Conflict);
  first_.accounts().add("other", "hash", 1);
  EXPECT_TRUE(first_.add("other", one));
  EXPECT_EQ(first_.list("other", 10, everything).at(0).id, digest_of(one));
  EXPECT_EQ(first_.list(local_account, 10, everything).size(), 2u);
  first_.check();
}

TEST_F(Transfers, TakeWhatIsBeingWrittenAsInterrupted) {
  const AnswerId answer = first_.accept({.account = local_account,
                                         .conversation = std::string(32, 'a'),
                                         .text = "Why?",
                                         .asked = "{}",
                                         .settings = R"({"seed":1})",
                                         .fingerprint = {.tokenizer = "t", .whole = "w"},
                                         .prompt = {.ids = {1, 2}, .generated = {0}}});
  first_.record(std::vector<Gain>{{.answer = answer, .tokens = {5}, .thinking = "Hm", .last_event = 1}});
  first_.record(std::vector<Gain>{
      {.answer = answer, .first = 1, .tokens = {6}, .text = "So", .last_event = 2, .writing_seconds = 0.5}});
  EXPECT_TRUE(second_.add(local_account, first_.whole(local_account, answer.conversation).value()));
  EXPECT_TRUE(second_.unfinished().empty());
  // It can be gone on with there.
  const auto open = second_.reopen(answer, {.tokenizer = "t", .whole = "other"});
  ASSERT_TRUE(open);
  EXPECT_EQ(open->said, (std::vector<std::int32_t>{5, 6}));
  EXPECT_EQ(open->last_event, 2u);
  EXPECT_EQ(open->writing_seconds, 0.5);
  EXPECT_EQ(open->settings, R"({"seed":1})");
  const auto there = second_.conversation(local_account, answer.conversation);
  EXPECT_EQ(there->messages[1].thinking, "Hm");
  EXPECT_EQ(there->messages[1].text, "So");
  // What it has of it is in what came of it.
  second_.end({.answer = answer, .first = 2, .tokens = {7}, .text = "on"}, {.answer = answer, .ended = "{}"});
  EXPECT_FALSE(second_.add(local_account, first_.whole(local_account, answer.conversation).value()));
  second_.check();
}

TEST_F(Transfers, TakeMoreWordsThanAnIndexDoes) {
  std::string words = "first ";
  while (words.size() < 3'000'000) words += "w" + std::to_string(words.size()) + " ";
  WholeConversation one;
  one.shown = 2;
  one.messages = {{.number = 1, .text = words},
                  {.number = 2, .parent = 1, .role = Role::Assistant, .text = "So", .ended = "{}"}};
  EXPECT_TRUE(first_.add(local_account, one));
  EXPECT_EQ(first_.search(local_account, "first", 10).size(), 1u);
  EXPECT_EQ(first_.conversation(local_account, first_.list(local_account, 1, everything).at(0).id)->messages[0].text,
            words);
}

TEST_F(Transfers, ContinueWithoutTokens) {
  WholeConversation one;
  one.id = std::string(32, 'b');
  one.shown = 2;
  one.messages = {{.number = 1, .text = "Why?"},
                  {.number = 2, .parent = 1, .role = Role::Assistant, .text = "So", .ended = "{}"}};
  EXPECT_TRUE(first_.add(local_account, one));
  EXPECT_TRUE(first_.last_tokens(one.id, "t").ids.empty());
  const AnswerId next = first_.accept({.account = local_account, .conversation = one.id, .parent = 2, .text = "And?"});
  EXPECT_EQ(next.number, 4);
  first_.check();
}

}  // namespace
}  // namespace store
