#include "store/database.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "store/session.h"
#include "store/store.h"
#include "store/test_place.h"

namespace store {
namespace {

const std::string me = "local";

class Databases : public testing::Test {
 protected:
  Question question(std::string conversation, std::int64_t parent, const std::string& text) {
    return {.account = me,
            .conversation = std::move(conversation),
            .parent = parent,
            .title = "About " + text,
            .text = text,
            .asked = R"({"think":true})",
            .settings = R"({"seed":1})",
            .fingerprint = {.tokenizer = "t", .whole = "w"},
            .prompt = {.ids = {1, 2, 3}, .generated = {0}},
            .now = ++now_};
  }
  Gain gain(const AnswerId& answer, std::int64_t first, std::vector<std::int32_t> tokens, std::string text) {
    return {.answer = answer, .first = first, .tokens = std::move(tokens), .text = std::move(text)};
  }
  void end(const AnswerId& answer, std::int64_t first = 0, Condition condition = Condition::Whole) {
    database_->end(gain(answer, first, {}, ""), {.answer = answer, .condition = condition, .ended = "{}"});
  }
  void reopen() {
    database_.reset();
    database_ = std::make_unique<Database>(place_.where());
  }
  void TearDown() override {
    if (database_) database_->check();
  }

  TestPlace place_;
  std::unique_ptr<Database> database_ = std::make_unique<Database>(place_.where());
  Time now_ = 1000;
};

TEST_F(Databases, InMemoryKeepNothing) {
  {
    Database memory(in_memory);
    memory.be_the_only_server();
    Database other(in_memory);
    other.be_the_only_server();
    memory.accept(question("c1", 0, "Why?"));
    EXPECT_EQ(memory.list(me, 10).size(), 1u);
    EXPECT_EQ(memory.search(me, "why", 10).size(), 1u);
    EXPECT_TRUE(other.list(me, 10).empty());
    memory.check();
  }
  EXPECT_TRUE(Database(in_memory).list(me, 10).empty());
  EXPECT_FALSE(std::filesystem::exists(in_memory));
}

TEST_F(Databases, KeepWhatWasSaid) {
  const AnswerId answer = database_->accept(question("c1", 0, "Why?"));
  EXPECT_EQ(answer, (AnswerId{"c1", 2}));
  database_->record(std::vector{gain(answer, 0, {10, 11}, "Be")});
  Gain last = gain(answer, 2, {12}, "cause\n");
  last.thinking = "Hm";
  database_->end(last, {.answer = answer, .ended = R"({"finish":"stop"})"});
  reopen();

  const auto kept = database_->conversation(me, "c1");
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->title, "About Why?");
  EXPECT_EQ(kept->shown, 2);
  const auto path = kept->path_to(kept->shown);
  ASSERT_EQ(path.size(), 2u);
  EXPECT_EQ(path[0]->text, "Why?");
  EXPECT_EQ(path[1]->text, "Because\n");
  EXPECT_EQ(path[1]->thinking, "Hm");
  EXPECT_EQ(path[1]->condition, Condition::Whole);
  EXPECT_EQ(path[1]->asked, R"({"think":true})");
  EXPECT_EQ(path[1]->ended, R"({"finish":"stop"})");
  const Tokens tokens = database_->last_tokens("c1", "t");
  EXPECT_EQ(tokens.ids, (std::vector<std::int32_t>{1, 2, 3, 10, 11, 12}));
  EXPECT_EQ(tokens.generated, (std::vector<std::uint64_t>{0b111000}));
  EXPECT_TRUE(database_->last_tokens("c1", "another").ids.empty());
}

TEST_F(Databases, KeepTextOfAnyKind) {
  const std::string text = "Grüße, 你好 🙂 'quoted' \"twice\" :colon \\ %s \xEF\xBF\xBD\r\n\t$1 --";
  database_->accept(question("c1", 0, text));
  database_->accept(question("c2", 0, std::string("a\0b", 3)));
  database_->accept(question("c3", 0, std::string(300'000, 'x')));
  reopen();
  EXPECT_EQ(database_->conversation(me, "c1")->messages[0].text, text);
  EXPECT_EQ(database_->conversation(me, "c2")->messages[0].text, "a\uFFFDb");
  EXPECT_EQ(database_->conversation(me, "c3")->messages[0].text.size(), 300'000u);
}

TEST_F(Databases, KnowWhatWasInterruptedAndAllThatItTakesToGoOn) {
  const AnswerId first = database_->accept(question("c1", 0, "One"));
  const AnswerId second = database_->accept(question("c2", 0, "Two"));
  const AnswerId third = database_->accept(question("c3", 0, "Three"));
  Gain some = gain(second, 0, {7, 8}, "Tw");
  some.writing_seconds = 1.5;
  some.thinking_seconds = 0.5;
  database_->record(std::vector{some});
  database_->pause(first, true);
  end(third);
  reopen();

  const auto all = database_->unfinished();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].answer, first);
  EXPECT_EQ(all[0].condition, Condition::Paused);
  EXPECT_TRUE(all[0].said.empty());
  EXPECT_EQ(all[1].answer, second);
  EXPECT_EQ(all[1].account, me);
  EXPECT_EQ(all[1].condition, Condition::Open);
  EXPECT_EQ(all[1].said, (std::vector<std::int32_t>{7, 8}));
  EXPECT_EQ(all[1].prompt, (Tokens{.ids = {1, 2, 3}, .generated = {0}}));
  EXPECT_EQ(all[1].settings, R"({"seed":1})");
  EXPECT_EQ(all[1].fingerprint, (Fingerprint{"t", "w"}));
  EXPECT_EQ(all[1].writing_seconds, 1.5);
  EXPECT_EQ(all[1].thinking_seconds, 0.5);
  EXPECT_EQ(database_->conversation(me, "c2")->messages[1].text, "Tw");
}

TEST_F(Databases, KeepTheLastEventOfOneThatEndsWithoutGain) {
  const AnswerId answer = database_->accept(question("c1", 0, "One"));
  Gain some = gain(answer, 0, {7, 8}, "Tw");
  some.last_event = 5;
  some.writing_seconds = 1.5;
  database_->record(std::vector{some});
  end(answer, 2, Condition::Interrupted);
  EXPECT_TRUE(database_->unfinished().empty());
  const auto again = database_->reopen(answer, {"t", "w"});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->said, (std::vector<std::int32_t>{7, 8}));
  EXPECT_EQ(again->last_event, 5u);
  EXPECT_EQ(again->writing_seconds, 1.5);
}

TEST_F(Databases, CountResumesThatBroughtNothing) {
  const AnswerId answer = database_->accept(question("c1", 0, "One"));
  database_->resume(answer);
  database_->resume(answer);
  EXPECT_EQ(database_->unfinished()[0].vain_resumes, 2);
  database_->record(std::vector{gain(answer, 0, {7}, "x")});
  EXPECT_EQ(database_->unfinished()[0].vain_resumes, 0);
}

TEST_F(Databases, RefuseAGainThatDoesNotFollow) {
  const AnswerId answer = database_->accept(question("c1", 0, "One"));
  database_->record(std::vector{gain(answer, 0, {7}, "x")});
  EXPECT_THROW(database_->record(std::vector{gain(answer, 0, {7}, "x")}), Conflict);
  EXPECT_THROW(database_->record(std::vector{gain(answer, 2, {7}, "x")}), Conflict);
  end(answer, 1);
  database_->record(std::vector{gain(answer, 1, {8}, "late")});
  EXPECT_EQ(database_->conversation(me, "c1")->messages[1].text, "x");
}

TEST_F(Databases, RefuseAQuestionThatDoesNotFollow) {
  const AnswerId answer = database_->accept(question("c1", 0, "One"));
  EXPECT_THROW(database_->accept(question("c1", 0, "again")), Conflict);
  EXPECT_THROW(database_->accept(question("c1", 2, "too early")), Conflict);
  end(answer);
  EXPECT_THROW(database_->accept(question("c1", 1, "elsewhere")), Conflict);
  Question stranger = question("c1", 2, "mine?");
  stranger.account = "other";
  EXPECT_THROW(database_->accept(stranger), Conflict) << "there is no such account";
  database_->accounts().add("other", "hash", 1);
  EXPECT_THROW(database_->accept(stranger), Conflict);
  EXPECT_EQ(database_->accept(question("c1", 2, "Two")).number, 4);
  EXPECT_EQ(database_->conversation(me, "c1")->path_to(4).size(), 4u);
}

TEST_F(Databases, ShowAnAccountItsOwnAlone) {
  end(database_->accept(question("c1", 0, "One")));
  EXPECT_FALSE(database_->conversation("other", "c1"));
  EXPECT_TRUE(database_->list("other", 10).empty());
  EXPECT_FALSE(database_->rename("other", "c1", "x"));
  EXPECT_FALSE(database_->pin("other", "c1", true));
  EXPECT_FALSE(database_->remove("other", "c1", 1));
  database_->remove(me, "c1", 1);
  EXPECT_FALSE(database_->restore("other", "c1"));
  EXPECT_FALSE(database_->conversation(me, "c1"));
}

TEST_F(Databases, ListPinnedAndThenByTheLastChange) {
  for (const char* id : {"a", "b", "c"}) end(database_->accept(question(id, 0, id)));
  database_->pin(me, "b", true);
  database_->rename(me, "a", "Renamed");
  end(database_->accept(question("a", 2, "more")));
  const auto list = database_->list(me, 10);
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].id, "b");
  EXPECT_TRUE(list[0].pinned);
  EXPECT_EQ(list[1].id, "a");
  EXPECT_EQ(list[1].title, "Renamed");
  EXPECT_EQ(list[2].id, "c");
  EXPECT_EQ(database_->list(me, 2).size(), 2u);
}

TEST_F(Databases, InterruptAnAnswerWhoseConversationIsRemoved) {
  const AnswerId answer = database_->accept(question("c1", 0, "One"));
  database_->record(std::vector{gain(answer, 0, {7}, "x")});
  EXPECT_TRUE(database_->remove(me, "c1", 10));
  EXPECT_TRUE(database_->unfinished().empty());
  EXPECT_TRUE(database_->restore(me, "c1"));
  EXPECT_EQ(database_->conversation(me, "c1")->messages[1].condition, Condition::Interrupted);
  EXPECT_EQ(database_->reopen(answer, {"t", "w"})->said, (std::vector<std::int32_t>{7}));
}

TEST_F(Databases, EraseForGoodWhatWasRemovedAndNotRestored) {
  const std::string secret = "the quick brown secret";
  for (const char* id : {"a", "b"}) {
    const AnswerId answer = database_->accept(question(id, 0, secret));
    database_->end(gain(answer, 0, {1}, secret), {.answer = answer, .ended = "{}"});
  }
  EXPECT_TRUE(database_->remove(me, "a", 10));
  EXPECT_TRUE(database_->remove(me, "b", 20));
  EXPECT_TRUE(database_->list(me, 10).empty());
  EXPECT_TRUE(database_->restore(me, "a"));
  EXPECT_EQ(database_->list(me, 10).size(), 1u);
  database_->remove(me, "a", 30);
  EXPECT_EQ(database_->purge(20), 0);
  EXPECT_EQ(database_->purge(21), 1);
  EXPECT_FALSE(database_->restore(me, "b"));
  EXPECT_EQ(database_->purge(31), 1);
  if (place_.on_postgres()) return;  // what its files hold is its own affair
  for (const auto& file : std::filesystem::directory_iterator(place_.where())) {
    std::stringstream bytes;
    bytes << std::ifstream(file.path(), std::ios::binary).rdbuf();
    EXPECT_EQ(bytes.str().find(secret), std::string::npos) << file.path();
  }
}

TEST_F(Databases, FindWhatWasSaidInAnyScript) {
  const auto say = [&](const std::string& id, const std::string& asked, const std::string& answered) {
    const AnswerId answer = database_->accept(question(id, 0, asked));
    database_->end(gain(answer, 0, {1}, answered), {.answer = answer, .ended = "{}"});
  };
  say("bread", "How do I bake bread?", "Mix flour and water. Bake it until it is brown.");
  say("tides", "What are tides",
      "The moon pulls the WATER of the sea; it's not magic: see https://tides.example/moon-phases.");
  say("china", "北京是中国的首都吗？", "是的，北京是中华人民共和国的首都。");
  say("thai", "ประเทศไทยอยู่ที่ไหน", "ในเอเชีย");
  say("korea", "안녕하세요 서울입니다", "네");
  say("paris", "Où est le café à Montréal?", "Là-bas.");
  const auto found = [&](const std::string& typed) {
    std::vector<std::string> ids;
    for (const Hit& hit : database_->search(me, typed, 10)) ids.push_back(hit.conversation);
    std::ranges::sort(ids);
    return ids;
  };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(found("water"), (Ids{"bread", "tides"}));
  EXPECT_EQ(found("Water SEA"), (Ids{"tides"}));
  EXPECT_EQ(found("wat"), (Ids{"bread", "tides"})) << "as one types";
  EXPECT_EQ(found("wat "), Ids{}) << "a whole word";
  EXPECT_EQ(found("\"bake it\""), (Ids{"bread"}));
  EXPECT_EQ(found("\"it bake\""), Ids{});
  EXPECT_EQ(found("water \u2014 sea"), (Ids{"tides"}));
  EXPECT_EQ(found("moon-phases"), (Ids{"tides"}));
  EXPECT_EQ(found("phases"), (Ids{"tides"}));
  EXPECT_EQ(found("北京"), (Ids{"china"}));
  EXPECT_EQ(found("首都"), (Ids{"china"}));
  EXPECT_EQ(found("京北"), Ids{});
  EXPECT_EQ(found("ไทย"), (Ids{"thai"}));
  EXPECT_EQ(found("하세"), (Ids{"korea"}));
  EXPECT_EQ(found("café"), (Ids{"paris"}));
  for (const char* nothing :
       {"", " ", "\"", "\"\"", "***", "OR NOT", "\"a\" b\" c", "'", "\\", "zz'y", "a:b", ":* & |", "(((", "col:x -y"}) {
    EXPECT_EQ(found(nothing), Ids{}) << nothing;
  }
  EXPECT_TRUE(database_->search("other", "water", 10).empty());

  const auto hits = database_->search(me, "首都", 10);
  std::string marked;
  for (const Snippet& part : hits.at(0).snippets) {
    if (part.matches) marked += part.text;
  }
  EXPECT_EQ(marked, "首都");
  EXPECT_EQ(hits[0].title, "About 北京是中国的首都吗？");

  database_->remove(me, "bread", 5);
  EXPECT_EQ(found("water"), (Ids{"tides"}));
  database_->purge(6);
  EXPECT_EQ(found("water"), (Ids{"tides"}));
}

TEST_F(Databases, KeepWhatIsArchivedOutOfTheList) {
  const AnswerId first = database_->accept(question("a", 0, "x"));
  end(first);
  end(database_->accept(question("b", 0, "y")));
  const auto ids = [&](const Listing& listing) {
    std::vector<std::string> listed;
    for (const ConversationHead& head : database_->list(me, 10, listing)) listed.push_back(head.id);
    return listed;
  };
  using Ids = std::vector<std::string>;
  using Shelf = Listing::Shelf;
  EXPECT_TRUE(database_->archive(me, "a", true));
  EXPECT_FALSE(database_->archive("other", "a", true));
  EXPECT_EQ(ids({}), (Ids{"b"}));
  EXPECT_EQ(ids({.shelf = Shelf::Archive}), (Ids{"a"}));
  EXPECT_EQ(ids({.shelf = Shelf::All}), (Ids{"b", "a"}));
  EXPECT_EQ(database_->search(me, "x", 10).size(), 1u) << "it is found all the same";

  EXPECT_TRUE(database_->set_tags(me, "a", {"work", "two words", "work"}));
  EXPECT_TRUE(database_->set_tags(me, "b", {"work"}));
  EXPECT_FALSE(database_->set_tags("other", "a", {"mine"}));
  EXPECT_EQ(ids({.tag = "work"}), (Ids{"b", "a"}));
  EXPECT_EQ(ids({.tag = "two words"}), (Ids{"a"}));
  EXPECT_EQ(ids({.tag = "mine"}), Ids{});
  EXPECT_EQ(database_->tags(me), (Ids{"two words", "work"}));
  EXPECT_EQ(database_->conversation(me, "a")->tags, (Ids{"two words", "work"}));
  EXPECT_TRUE(database_->set_tags(me, "b", {}));
  EXPECT_EQ(ids({.tag = "work"}), (Ids{"a"}));
  EXPECT_TRUE(database_->tags("other").empty());

  end(database_->accept(question("a", first.number, "again")));
  EXPECT_EQ(ids({}), (Ids{"a", "b"})) << "a message brings it back";
}

TEST_F(Databases, AreNamedOnce) {
  EXPECT_FALSE(database_->unnamed().has_value());
  const AnswerId first = database_->accept(question("a", 0, "x"));
  EXPECT_FALSE(database_->unnamed().has_value()) << "its answer has not ended";
  database_->end(gain(first, 0, {1}, "y"), {.answer = first, .ended = "{}"});
  const auto unnamed = database_->unnamed().value();
  EXPECT_EQ(unnamed.id, "a");
  EXPECT_EQ(unnamed.account, me);
  EXPECT_EQ(unnamed.question, "x");
  EXPECT_EQ(unnamed.answer, "y");
  database_->name("a", "A name");
  EXPECT_EQ(database_->conversation(me, "a")->title, "A name");
  EXPECT_FALSE(database_->unnamed().has_value());
  database_->name("a", "Another");
  EXPECT_EQ(database_->conversation(me, "a")->title, "A name");
  end(database_->accept(question("b", 0, "z")));
  database_->rename(me, "b", "Mine");
  EXPECT_FALSE(database_->unnamed().has_value());
  database_->name("b", "The model's");
  EXPECT_EQ(database_->conversation(me, "b")->title, "Mine");
}

TEST_F(Databases, ShowWhatFitsBestFirst) {
  const auto say = [&](const std::string& id, const std::string& answer) {
    const AnswerId question_of = database_->accept(question(id, 0, "?"));
    database_->end(gain(question_of, 0, {1}, answer), {.answer = question_of, .ended = "{}"});
  };
  std::string long_text = "tea";
  for (int i = 0; i < 300; ++i) long_text += " word";
  say("short", "tea, and nothing but tea");
  say("both", "tea " + long_text);
  say("long", long_text);
  say("begins", "a teapot among many other things of the kitchen");
  std::vector<std::string> ids;
  for (const Hit& hit : database_->search(me, "tea", 10)) ids.push_back(hit.conversation);
  ASSERT_EQ(ids.size(), 4u);
  EXPECT_EQ(std::ranges::find(ids, "short"), ids.begin());
  EXPECT_LT(std::ranges::find(ids, "both"), std::ranges::find(ids, "long"));
  EXPECT_EQ(database_->search(me, "tea", 2).size(), 2u);
  EXPECT_EQ(database_->search(me, "t", 10).size(), 0u) << "a letter is no beginning";
}

TEST_F(Databases, FindAWordThatIsEverywhere) {
  WholeConversation chatter;
  chatter.id = "chatter";
  for (std::int64_t number = 1; number <= 1200; ++number) {
    const bool asks = number % 2 == 1;
    chatter.messages.push_back({.number = number,
                                .parent = number - 1,
                                .role = asks ? Role::User : Role::Assistant,
                                .condition = Condition::Whole,
                                .text = "common",
                                .ended = asks ? "" : "{}"});
  }
  chatter.shown = 1200;
  ASSERT_TRUE(database_->add(me, chatter));
  chatter.id = "other";
  chatter.messages.resize(2);
  chatter.messages[0].text = "commonly";
  chatter.shown = 2;
  ASSERT_TRUE(database_->add(me, chatter));
  const auto hits = database_->search(me, "common", 10);
  ASSERT_EQ(hits.size(), 2u);
  EXPECT_EQ(database_->search(me, "commonl", 10).size(), 1u);
  EXPECT_EQ(database_->search("stranger", "common", 10).size(), 0u);
  for (const Hit& hit : hits) {
    ASSERT_EQ(hit.snippets.size(), 1u);
    EXPECT_TRUE(hit.snippets[0].matches);
    EXPECT_EQ(hit.snippets[0].text, "common");
  }
}

// Random questions, gains, ends and restarts, beside a model of what must be there.
TEST_F(Databases, AgreeWithAModel) {
  std::mt19937 random(1);
  struct Expected {
    AnswerId id;
    std::vector<std::int32_t> tokens{};
    std::string text{};
    bool open = true;
  };
  std::map<std::string, std::vector<Expected>> model;
  for (int step = 0; step < 400; ++step) {
    const std::string id = std::string(1, static_cast<char>('a' + random() % 5));
    auto& answers = model[id];
    if (answers.empty() || !answers.back().open) {
      const std::int64_t parent = answers.empty() ? 0 : answers.back().id.number;
      answers.push_back({.id = database_->accept(question(id, parent, "q" + std::to_string(step)))});
      continue;
    }
    Expected& answer = answers.back();
    Gain next = gain(answer.id, static_cast<std::int64_t>(answer.tokens.size()), {}, "");
    for (std::size_t count = random() % 5; count > 0; --count) {
      next.tokens.push_back(static_cast<std::int32_t>(random() % 128'256));
      next.text += static_cast<char>('a' + random() % 26);
    }
    answer.tokens.insert(answer.tokens.end(), next.tokens.begin(), next.tokens.end());
    answer.text += next.text;
    if (random() % 4 == 0) {
      database_->end(next, {.answer = answer.id, .ended = "{}"});
      answer.open = false;
    } else {
      database_->record({&next, 1});
    }
    if (random() % 20 == 0) reopen();
    if (step % 20 == 0) database_->check();
  }
  for (const auto& [id, answers] : model) {
    const auto kept = database_->conversation(me, id);
    const auto path = kept->path_to(kept->shown);
    ASSERT_EQ(path.size(), 2 * answers.size());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      EXPECT_EQ(path[2 * i + 1]->text, answers[i].text);
      EXPECT_EQ(path[2 * i + 1]->condition, answers[i].open ? Condition::Open : Condition::Whole);
    }
  }
  for (const Unfinished& one : database_->unfinished()) {
    EXPECT_EQ(one.said, model[one.answer.conversation].back().tokens);
    EXPECT_TRUE(model[one.answer.conversation].back().open);
  }
}

TEST_F(Databases, OfALaterVersionAreLeftAlone) {
  if (place_.on_postgres()) GTEST_SKIP() << "the same code";
  database_.reset();
  Session(place_.where()).sql << "update schema set version = 99";
  try {
    Database later(place_.where());
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_STREQ(
        error.what(),
        "data: it was written by a later version of this program; use that, or choose another folder with --data");
  }
}

TEST_F(Databases, SayWhatIsWrongWithTheirPlace) {
  if (place_.on_postgres()) GTEST_SKIP() << "of folders";
  const auto error_of = [](const std::string& where) -> std::string {
    try {
      Database database(where);
    } catch (const base::Error& error) {
      return error.what();
    }
    return {};
  };
  const std::string folder = place_.where() + "/other";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/conversations.sqlite") << std::string(4096, 'x');
  EXPECT_EQ(error_of(folder), folder +
                                  "/conversations.sqlite: it is damaged; restore a backup of it, or choose another "
                                  "folder with --data");
  EXPECT_EQ(error_of(folder + "/conversations.sqlite"),
            folder + "/conversations.sqlite: this folder cannot be made: Not a directory; choose another with --data");
}

TEST(Stores, DoWhatIsAskedInOrderAndAllOfItBeforeTheyGo) {
  const TestPlace place;
  std::vector<int> done;
  {
    Store kept(place.where());
    for (int i = 0; i < 100; ++i) kept.post([&done, i](Database&) { done.push_back(i); });
  }
  ASSERT_EQ(done.size(), 100u);
  EXPECT_TRUE(std::ranges::is_sorted(done));
}

TEST(StoredTokens, AreTextAndComeBack) {
  std::mt19937_64 random(1);
  Tokens tokens;
  for (int i = 0; i < 1000; ++i) tokens.ids.push_back(static_cast<std::int32_t>(random() % (1 << 23)));
  for (int i = 0; i < 16; ++i) tokens.generated.push_back(random());
  tokens.generated.back() &= (std::uint64_t{1} << (1000 % 64)) - 1;
  const std::string text = encode(tokens);
  EXPECT_EQ(text.size(), 4000u);
  EXPECT_EQ(decode(text), tokens);
  EXPECT_EQ(encode_generated(std::vector<std::int32_t>{5, 6}), encode({.ids = {5, 6}, .generated = {3}}));
  EXPECT_EQ(decode(encode_generated(std::vector<std::int32_t>{5, 6})).generated, (std::vector<std::uint64_t>{3}));
  EXPECT_THROW(decode("abc"), base::Error);
  EXPECT_THROW(decode("ab=="), base::Error);
  EXPECT_THROW(encode({.ids = {1 << 23}}), base::Error);
  EXPECT_THROW(encode({.ids = {-1}}), base::Error);
}

}  // namespace
}  // namespace store
