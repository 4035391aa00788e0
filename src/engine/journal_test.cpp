#include "engine/journal.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

namespace engine {
namespace {

// What a reader has put together of an answer.
struct Gathered {
  std::string thinking, text;
  std::vector<std::string> calls;
  std::uint64_t number = 0;
  int ends = 0;

  void take(const Event& event) {
    EXPECT_GT(event.number, number);
    number = event.number;
    if (const auto* piece = std::get_if<Thinking>(&event.what)) thinking += piece->text;
    if (const auto* piece = std::get_if<Answer>(&event.what)) text += piece->text;
    if (const auto* call = std::get_if<smollm3::ToolCall>(&event.what)) calls.push_back(call->raw);
    if (std::holds_alternative<Done>(event.what)) ++ends;
  }
};

void write_something(Journal& journal, int i) {
  const std::string piece = std::to_string(i) + " ";
  if (i < 40) {
    journal.append(Thinking{piece});
  } else if (i % 50 == 0) {
    journal.append(smollm3::ToolCall{.name = "f", .arguments = {}, .raw = piece});
  } else {
    journal.append(Answer{piece});
  }
}

TEST(Journal, JoinsTextsOfAKindAndNumbersThemByTheLast) {
  Journal journal;
  journal.append(Thinking{"a"});
  journal.append(Thinking{"b"});
  journal.append(Answer{"c"});
  journal.append(smollm3::ToolCall{.name = "f", .arguments = {}, .raw = "call"});
  journal.append(Answer{"d"});
  journal.append(Answer{"e"});
  journal.append(Done{.finish = Finish::ToolCalls});
  const Journal::Reading all = journal.read({});
  ASSERT_EQ(all.events.size(), 5u);
  EXPECT_EQ(std::get<Thinking>(all.events[0].what).text, "ab");
  EXPECT_EQ(std::get<smollm3::ToolCall>(all.events[2].what).raw, "call");
  EXPECT_EQ(std::get<Answer>(all.events[3].what).text, "de");
  EXPECT_EQ(std::get<Done>(all.events[4].what).finish, Finish::ToolCalls);
  std::vector<std::uint64_t> numbers;
  for (const Event& event : all.events) numbers.push_back(event.number);
  EXPECT_EQ(numbers, (std::vector<std::uint64_t>{2, 3, 4, 6, 7}));
  EXPECT_TRUE(all.over);
  EXPECT_EQ(all.progress.state, State::Done);
}

TEST(Journal, CanBeReadOnFromEveryNumber) {
  Journal journal;
  for (int i = 0; i < 120; ++i) write_something(journal, i);
  journal.append(Done{});
  Gathered whole;
  for (const Event& event : journal.read({}).events) whole.take(event);
  for (std::uint64_t cut = 0; cut <= whole.number; ++cut) {
    Gathered parts;
    for (const Event& event : journal.read({}, cut).events) parts.take(event);
    EXPECT_EQ(parts.number, cut);
    for (const Event& event : journal.read({.event = cut}).events) parts.take(event);
    EXPECT_EQ(parts.thinking, whole.thinking);
    EXPECT_EQ(parts.text, whole.text);
    EXPECT_EQ(parts.calls, whole.calls);
    EXPECT_EQ(parts.ends, 1);
  }
}

TEST(Journal, KeepsTheTokensBesideTheEvents) {
  using Tokens = std::vector<smollm3::Token>;
  Journal journal;
  EXPECT_TRUE(journal.said().tokens.empty());
  const std::size_t bytes = journal.bytes();
  journal.say(Tokens{1, 2, 3}, 0.5, 0.5);
  journal.say(Tokens{4}, 0.75, 0.5);
  EXPECT_EQ(journal.said().tokens, (Tokens{1, 2, 3, 4}));
  EXPECT_EQ(journal.said(3).tokens, (Tokens{4}));
  EXPECT_EQ(journal.said(3).generate_seconds, 0.75);
  EXPECT_EQ(journal.said(3).thinking_seconds, 0.5);
  EXPECT_TRUE(journal.said(4).tokens.empty());
  EXPECT_TRUE(journal.said(100).tokens.empty());
  EXPECT_EQ(journal.last_event(), 0u);
  EXPECT_GE(journal.bytes(), bytes + 4 * sizeof(smollm3::Token));
}

// Of tokens that were said in one go a recorder sees all or none, and no fewer than the events that it has read took.
TEST(Journal, TokensAreThereBeforeTheirEventsAndTogether) {
  Journal journal;
  std::thread recorder([&] {
    std::vector<smollm3::Token> tokens;
    for (bool over = false; !over;) {
      const Journal::Reading reading = journal.read({});
      const Said more = journal.said(tokens.size());
      tokens.insert(tokens.end(), more.tokens.begin(), more.tokens.end());
      EXPECT_EQ(tokens.size() % 3, 0u);
      EXPECT_GE(tokens.size(), reading.next.event - (reading.over ? 1 : 0));
      over = reading.over;
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) EXPECT_EQ(tokens[i], static_cast<smollm3::Token>(i));
  });
  for (smollm3::Token token = 0; token < 3000; token += 3) {
    journal.say(std::vector{token, token + 1, token + 2}, token, 0);
    for (int i = 0; i < 3; ++i) journal.append(Answer{"a"});
  }
  journal.append(Done{});
  recorder.join();
}

TEST(Journal, AllowsNothingAfterTheEnd) {
  Journal journal;
  journal.append(Done{});
  EXPECT_THROW(journal.append(Answer{"more"}), base::Error);
  journal.report({.state = State::Writing});
  EXPECT_EQ(journal.progress().state, State::Done);
}

TEST(Journal, WakesWhoeverWaitsForMoreOnceAndTellsOfProgress) {
  Journal journal;
  int woken = 0;
  const auto wake = [&] { ++woken; };
  auto watch = journal.when_more({}, wake);
  EXPECT_EQ(woken, 0);
  journal.append(Answer{"a"});
  journal.append(Answer{"b"});
  EXPECT_EQ(woken, 1);
  watch = journal.when_more({}, wake);  // there is more already
  EXPECT_EQ(woken, 2);
  const Journal::Place place = journal.read({}).next;
  watch = journal.when_more(place, wake);
  journal.report({.state = State::Writing});
  EXPECT_EQ(woken, 3);
  watch = journal.when_more(journal.read({}).next, wake);
  journal.report({.state = State::Writing});  // no change
  EXPECT_EQ(woken, 3);
  watch = {};
  journal.append(Answer{"c"});  // nobody waits any more
  EXPECT_EQ(woken, 3);
  EXPECT_FALSE(journal.wait_for_more(journal.read({}).next, std::chrono::milliseconds(1)));
}

// One writes; many read at their own pace, some leave in the middle and come back, some never come back.
TEST(Journal, ManyReadersOnManyThreadsEachGetEverythingOnce) {
  constexpr int pieces = 5000;
  Journal journal;
  std::vector<std::thread> threads;
  std::vector<Gathered> gathered(6);
  for (std::size_t reader = 0; reader < gathered.size(); ++reader) {
    threads.emplace_back([&, reader] {
      std::mt19937 random(static_cast<unsigned>(reader));
      Journal::Place place;
      for (bool over = false; !over;) {
        const auto awake = std::make_shared<std::atomic<bool>>(false);
        const auto watch = journal.when_more(place, [awake] { *awake = true; });
        if (random() % 3 == 0) continue;  // changed its mind
        while (!*awake && !journal.wait_for_more(place, std::chrono::milliseconds(1))) std::this_thread::yield();
        const Journal::Reading reading = journal.read(place);
        for (const Event& event : reading.events) gathered[reader].take(event);
        over = reading.over;
        // One that comes back knows the number alone.
        place = random() % 2 == 0 ? reading.next : Journal::Place{.event = gathered[reader].number};
      }
    });
  }
  for (int i = 0; i < pieces; ++i) {
    write_something(journal, i);
    if (i % 7 == 0) journal.report({.state = State::Writing, .generated_tokens = static_cast<std::uint32_t>(i)});
  }
  journal.append(Done{});
  for (std::thread& thread : threads) thread.join();
  Gathered whole;
  for (const Event& event : journal.read({}).events) whole.take(event);
  for (const Gathered& one : gathered) {
    EXPECT_EQ(one.thinking, whole.thinking);
    EXPECT_EQ(one.text, whole.text);
    EXPECT_EQ(one.calls, whole.calls);
    EXPECT_EQ(one.ends, 1);
  }
}

}  // namespace
}  // namespace engine
