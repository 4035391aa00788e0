// Requests on their way through the engine: side by side, waiting, cancelled, preempted, resumed from what is kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "engine/engine.h"
#include "reference/on_device.h"
#include "reference/source_folder.h"

namespace engine {
namespace {

using Asked = std::shared_ptr<Generation>;

const std::filesystem::path demo_model = reference::source_folder() / "models/demo.gguf";

// The most that the model holds: an endless answer takes seconds to fill it, and is cancelled long before.
constexpr std::uint32_t long_context = 8192;

struct Said {
  std::string thinking, text;
  Done done;
};

Said said_until(const Asked& asked, std::uint64_t last_event) {
  Said said;
  for (const Event& event : asked->journal().read({}, last_event).events) {
    if (const auto* thinking = std::get_if<Thinking>(&event.what)) said.thinking += thinking->text;
    if (const auto* answer = std::get_if<Answer>(&event.what)) said.text += answer->text;
  }
  return said;
}

Said said(const Asked& asked) {
  const Done done = asked->journal().wait_for_end();
  Said all = said_until(asked, asked->journal().last_event());
  all.done = done;
  return all;
}

// Until the generation is in a state, or beyond.
void wait_for(const Asked& asked, State state) {
  for (Journal::Place place; asked->state() < state; place = asked->journal().read(place).next) {
    asked->journal().wait_for_more(place, std::chrono::seconds(1));
  }
}

void wait_for_tokens(const Asked& asked, std::uint32_t count) {
  Journal::Place place;
  while (asked->journal().progress().generated_tokens < count && !asked->journal().over()) {
    place = asked->journal().read(place).next;
    asked->journal().wait_for_more(place, std::chrono::seconds(1));
  }
}

Request request(const Engine& engine, std::string_view prompt, std::uint32_t max_tokens = 24) {
  return {.prompt = engine.tokenizer().encode(prompt),
          .sampling = {.temperature = 0},
          .limits = {.max_tokens = max_tokens}};
}

// A request that goes on until it is cancelled or the context is full: its end-of-turn tokens are forbidden.
Request endless(const Engine& engine, std::string_view prompt = "one two three") {
  Request endless = request(engine, prompt, 0);
  for (const Token token : engine.tokenizer().end_tokens()) endless.sampling.logit_bias[token] = -1000;
  return endless;
}

std::string answer(Engine& engine, Request asked, Usage* usage = nullptr) {
  const Said all = said(engine.start(std::move(asked)));
  EXPECT_NE(all.done.finish, Finish::Failed);
  if (usage) *usage = all.done.usage;
  return all.text;
}

Turn question(std::string text) {
  Turn turn;
  turn.input.messages = {{{"role", "user"}, {"content", std::move(text)}}};
  turn.sampling = {.temperature = 0};
  turn.limits.max_tokens = 200;
  return turn;
}

constexpr const char* long_prompt =
    "The quick brown fox jumps over the lazy dog, again and again, until the evening comes and both of them are tired. "
    "Then they sit down together, look at the river, and count the boats that pass: one, two, three, four, five, six.";

class Requests : public reference::OnDevice {
 protected:
  // On the CPU exact, whatever the processor: in a fast mode prompts have other bits than what was generated.
  // Memory is short by default: all share the space of one.
  static std::unique_ptr<Engine> make_engine(std::uint32_t context = 1024, std::uint64_t conversations = 1) {
    return std::make_unique<Engine>(
        gguf::File::open(demo_model),
        Options{.device = device, .threads = 2, .context = context, .conversations = conversations, .exact = true});
  }

  // Texts that were computed in different batches: the same on the CPU. On a GPU sums are rounded otherwise, and a near
  // tie of two tokens may go either way.
  static void expect_same_texts(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    if (device == compute::DeviceKind::Cpu) {
      EXPECT_EQ(a, b);
      return;
    }
    ASSERT_EQ(a.size(), b.size());
    std::size_t same = 0;
    for (std::size_t i = 0; i < a.size(); ++i) same += a[i] == b[i] ? 1 : 0;
    EXPECT_GE(same * 4, a.size() * 3);
  }
};

TEST_F(Requests, SayWhetherTheyAreExact) {
  EXPECT_EQ(make_engine()->mode(), device == compute::DeviceKind::Cpu ? "exact" : "fast");
}

TEST_F(Requests, ReusedPrefixesDoNotChangeTheAnswer) {
  const std::vector<std::string> endings = {"", " What comes next?", " Tell me about the boats.",
                                            " What comes next? And then?"};
  const auto engine = make_engine();
  bool reused = false;
  std::vector<std::string> warm, cold;
  for (const std::string& ending : endings) {
    Usage usage;
    warm.push_back(answer(*engine, request(*engine, long_prompt + ending), &usage));
    reused |= usage.cached_tokens > 20;
    cold.push_back(answer(*make_engine(), request(*engine, long_prompt + ending)));
  }
  expect_same_texts(warm, cold);
  EXPECT_TRUE(reused);
}

TEST_F(Requests, AConversationSurvivesAnotherThatBeginsAlike) {
  const auto engine = make_engine();
  Usage usage;
  answer(*engine, request(*engine, long_prompt), &usage);
  answer(*engine, request(*engine, std::string(long_prompt).substr(0, 90) + " but not for long."));
  answer(*engine, request(*engine, std::string(long_prompt) + " And so on."), &usage);
  EXPECT_GT(usage.cached_tokens + 12, usage.prompt_tokens);
}

TEST_F(Requests, ManyConversationsFitByForgettingTheOldest) {
  const auto engine = make_engine(256);  // four pages
  std::vector<std::string> texts[2];
  for (std::vector<std::string>& of_round : texts) {
    for (int i = 0; i < 6; ++i)
      of_round.push_back(answer(*engine, request(*engine, std::to_string(i) + ". " + long_prompt)));
  }
  expect_same_texts(texts[0], texts[1]);
}

TEST_F(Requests, AreAnsweredBesideOneAnother) {
  const auto engine = make_engine(long_context);
  const Asked first = engine->start(endless(*engine));
  wait_for_tokens(first, 3);
  std::vector<Asked> others;
  for (int i = 0; i < 5; ++i) others.push_back(engine->start(request(*engine, std::to_string(i) + long_prompt)));
  std::vector<std::string> together, alone;
  for (const Asked& other : others) together.push_back(said(other).text);
  EXPECT_EQ(first->state(), State::Writing);
  EXPECT_EQ(engine->load().running, 1u);
  first->cancel();
  EXPECT_EQ(said(first).done.finish, Finish::Cancelled);
  for (int i = 0; i < 5; ++i)
    alone.push_back(answer(*make_engine(long_context), request(*engine, std::to_string(i) + long_prompt)));
  expect_same_texts(together, alone);
}

TEST_F(Requests, EventsHaveTheSameNumbersWhoeverElseIsServed) {
  const auto engine = make_engine(long_context);
  const Asked alone = engine->start(question("What is 12 + 34?"));
  alone->journal().wait_for_end();
  const Asked beside = engine->start(endless(*engine));
  wait_for_tokens(beside, 1);
  const Asked together = engine->start(question("What is 12 + 34?"));
  together->journal().wait_for_end();
  beside->cancel();
  ASSERT_EQ(alone->journal().last_event(), together->journal().last_event());
  for (std::uint64_t number = 1; number <= alone->journal().last_event(); ++number) {
    const Said one = said_until(alone, number), other = said_until(together, number);
    EXPECT_EQ(one.thinking, other.thinking) << number;
    EXPECT_EQ(one.text, other.text) << number;
  }
  EXPECT_FALSE(said(alone).thinking.empty());
}

TEST_F(Requests, OfFullContextsRunBesideOneAnotherWhereThereIsMemoryForAll) {
  const auto engine = make_engine(256, 4);
  EXPECT_EQ(engine->context(), 256u);
  EXPECT_EQ(engine->kv_positions(), 4 * 256u);
  std::vector<Asked> asked;
  for (int i = 0; i < 4; ++i) asked.push_back(engine->start(endless(*engine, std::to_string(i) + ". " + long_prompt)));
  for (const Asked& one : asked) wait_for_tokens(one, 1);
  // From now on nobody is to give way, and so to wait again.
  while (!std::ranges::all_of(asked, [](const Asked& one) { return one->journal().over(); })) {
    ASSERT_EQ(engine->load().waiting, 0u);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (const Asked& one : asked) {
    const Done done = said(one).done;
    EXPECT_EQ(done.finish, Finish::Length);
    EXPECT_EQ(done.usage.prompt_tokens + done.usage.generated_tokens, 256u);
  }
}

TEST_F(Requests, ABudgetBelowTheContextIsRefusedOrShortensIt) {
  const auto make = [](std::uint32_t context, std::uint64_t kv_memory) {
    return std::make_unique<Engine>(
        gguf::File::open(demo_model),
        Options{.device = device, .threads = 1, .context = context, .kv_memory = kv_memory, .exact = true});
  };
  EXPECT_THROW(make(1024, 1'000'000), base::Error);  // five pages
  EXPECT_THROW(make(0, 100'000), base::Error);       // none
  const auto shortened = make(0, 1'000'000);
  EXPECT_EQ(shortened->context(), 320u);
  EXPECT_EQ(shortened->kv_positions(), 320u);
  EXPECT_EQ(make(128, 1'000'000)->context(), 128u);
  EXPECT_EQ(make(128, 1'000'000)->kv_positions(), 320u);
}

// One has all pages but a few; the others have to wait for it.
TEST_F(Requests, WaitInTheOrderOfAskingWhereMemoryIsShort) {
  const auto engine = make_engine(512);
  const Asked running = engine->start(endless(*engine, std::string(long_prompt) + long_prompt));
  wait_for(running, State::Reading);
  std::vector<Asked> waiting;
  for (int i = 0; i < 3; ++i)
    waiting.push_back(
        engine->start(request(*engine, std::string(long_prompt) + long_prompt + long_prompt + long_prompt)));
  EXPECT_NE(said(running).done.finish, Finish::Failed);
  double last = 0;
  for (const Asked& asked : waiting) {
    const Said all = said(asked);
    EXPECT_NE(all.done.finish, Finish::Failed);
    EXPECT_GE(all.done.usage.queue_seconds, last);
    last = all.done.usage.queue_seconds;
  }
}

TEST_F(Requests, NoneFailsWhereTogetherTheyTakeMoreThanThereIs) {
  const auto engine = make_engine(256);  // four pages: of three conversations of two pages one has to give way
  std::vector<Request> requests;
  std::vector<Asked> asked;
  std::vector<std::string> together, alone;
  for (int i = 0; i < 4; ++i) {
    requests.push_back(endless(*engine, "Tell me about number " + std::to_string(i)));
    requests.back().limits.max_tokens = 120;
  }
  for (const Request& one : requests) asked.push_back(engine->start(one));
  for (const Request& one : requests) alone.push_back(answer(*make_engine(256), one));
  for (const Asked& one : asked) together.push_back(said(one).text);
  expect_same_texts(together, alone);
}

TEST_F(Requests, EndWhenTheyAreCancelledInWhateverState) {
  const auto engine = make_engine(long_context);
  const Asked writing = engine->start(endless(*engine));
  wait_for_tokens(writing, 1);
  std::string book;
  for (int i = 0; i < 50; ++i) book += std::to_string(i) + long_prompt;
  const Asked reading = engine->start(endless(*engine, book));
  wait_for(reading, State::Reading);
  const Asked at_once = engine->start(endless(*engine));
  at_once->cancel();
  const Asked unprepared = engine->start(question(book));
  unprepared->cancel();
  for (const Asked& asked : {at_once, unprepared, reading, writing}) {
    asked->cancel();
    EXPECT_EQ(said(asked).done.finish, Finish::Cancelled);
    asked->cancel();  // again, and after the end, without effect
  }
  EXPECT_EQ(engine->load().running, 0u);
  EXPECT_EQ(engine->load().waiting, 0u);
}

TEST_F(Requests, ShuttingDownCancelsEverything) {
  auto engine = make_engine(long_context);
  std::vector<Asked> asked = {engine->start(endless(*engine)), engine->start(endless(*engine)),
                              engine->start(question("Hello"))};
  wait_for_tokens(asked[0], 1);
  engine.reset();
  EXPECT_EQ(said(asked[0]).done.finish, Finish::Cancelled);
  EXPECT_EQ(said(asked[1]).done.finish, Finish::Cancelled);
  EXPECT_TRUE(asked[2]->journal().over());
  asked[2]->cancel();
}

TEST_F(Requests, MaxTokensAndTheContextEndAnAnswer) {
  const auto engine = make_engine(128);
  Usage usage;
  Request counted = endless(*engine);
  counted.limits.max_tokens = 7;
  answer(*engine, counted, &usage);
  EXPECT_EQ(usage.generated_tokens, 7u);
  const Done done = said(engine->start(endless(*engine))).done;
  EXPECT_EQ(done.finish, Finish::Length);
  EXPECT_EQ(done.usage.prompt_tokens + done.usage.generated_tokens, 128u);
}

TEST_F(Requests, AStopTextEndsTheAnswerAndIsNotPartOfIt) {
  const auto engine = make_engine();
  Request asked = endless(*engine);
  asked.limits.max_tokens = 40;
  const std::string whole = answer(*engine, asked);
  ASSERT_GT(whole.size(), 12u);
  asked.limits.stop = {whole.substr(whole.size() / 2, 5)};
  const Said cut = said(engine->start(asked));
  EXPECT_EQ(cut.done.finish, Finish::Stop);
  EXPECT_EQ(cut.text, whole.substr(0, whole.find(asked.limits.stop[0])));
}

TEST_F(Requests, AStopTextEndsTheAnswerAndNotTheThinking) {
  const auto engine = make_engine();
  Turn turn = question("What is 12 + 34?");
  const Said whole = said(engine->start(turn));
  ASSERT_GT(whole.thinking.size(), 4u);
  ASSERT_GT(whole.text.size(), 4u);

  turn.limits.stop = {whole.thinking.substr(whole.thinking.size() / 2, 3)};
  EXPECT_EQ(said(engine->start(turn)).thinking, whole.thinking);
  turn.limits.stop = {whole.text.substr(whole.text.size() / 2, 2)};
  const Said cut = said(engine->start(turn));
  EXPECT_EQ(cut.thinking, whole.thinking);
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(turn.limits.stop[0])));
  EXPECT_EQ(cut.done.finish, Finish::Stop);
}

TEST_F(Requests, ABudgetEndsTheThinkingAndAnAnswerFollows) {
  const auto engine = make_engine();
  Turn turn = question("What is 123 + 345?");
  const Said whole = said(engine->start(turn));
  ASSERT_GT(whole.done.usage.thinking_tokens, 12u);
  turn.limits.thinking_budget = 4;
  const Said cut = said(engine->start(turn));
  EXPECT_LT(cut.thinking.size(), whole.thinking.size());
  EXPECT_TRUE(whole.thinking.starts_with(cut.thinking)) << cut.thinking;
  EXPECT_LE(cut.done.usage.thinking_tokens, 4u + 16 + 4);
  EXPECT_FALSE(cut.text.empty());
  turn.limits.thinking_budget = 0;
  const Said none = said(engine->start(turn));
  EXPECT_EQ(none.thinking, "");
  EXPECT_FALSE(none.text.empty());
  // The tokens that close it count like any.
  turn.limits.thinking_budget = 2;
  for (turn.limits.max_tokens = 1; turn.limits.max_tokens < 24; ++turn.limits.max_tokens) {
    EXPECT_LE(said(engine->start(turn)).done.usage.generated_tokens, turn.limits.max_tokens);
  }
}

TEST_F(Requests, ThinkingEndsWhenItIsAskedTo) {
  const auto engine = make_engine(long_context);
  Turn turn = question("What is 123 + 345?");
  // A thought that never ends by itself.
  turn.sampling.logit_bias[engine->tokenizer().find("</think>").value()] = -1000;
  for (const Token token : engine->tokenizer().end_tokens()) turn.sampling.logit_bias[token] = -1000;
  turn.limits.max_tokens = 0;
  const Asked asked = engine->start(turn);
  wait_for_tokens(asked, 20);
  asked->finish_thinking();
  Journal::Place place;
  bool answers = false;
  while (!answers && !asked->journal().over()) {
    asked->journal().wait_for_more(place, std::chrono::seconds(1));
    const Journal::Reading reading = asked->journal().read(place);
    place = reading.next;
    for (const Event& event : reading.events) answers |= std::holds_alternative<Answer>(event.what);
  }
  EXPECT_TRUE(answers);
  asked->cancel();
  EXPECT_GE(said(asked).done.usage.thinking_tokens, 20u);
  // Before it has begun to think, it does not begin.
  const auto small = make_engine(256);
  const Asked before = small->start(endless(*small, long_prompt));
  wait_for(before, State::Reading);
  turn.input.messages[0]["content"] = "What is 123 + 345? " + std::string(long_prompt) + long_prompt;
  const Asked early = small->start(turn);
  early->finish_thinking();
  EXPECT_EQ(early->state(), State::Queued);
  before->cancel();
  wait_for_tokens(early, 12);
  early->cancel();
  EXPECT_EQ(said(early).thinking, "");
  EXPECT_NE(said(early).text, "");
}

TEST_F(Requests, ThatArePausedGoOnWithTheSameWords) {
  const auto engine = make_engine();
  const std::string expected = answer(*engine, request(*engine, long_prompt, 200));
  int paused = 0;
  for (const std::uint32_t pause_at : {1u, 50u, 190u}) {
    const Clock::time_point start = Clock::now();
    const Asked asked = engine->start(request(*engine, long_prompt, 200));
    wait_for_tokens(asked, pause_at);
    asked->pause();
    wait_for(asked, State::Paused);
    if (asked->journal().over()) continue;  // it was faster
    ++paused;
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    EXPECT_EQ(engine->load().running, 0u);
    EXPECT_EQ(engine->load().paused, 1u);
    // Others are answered meanwhile, and take its pages if they need them.
    for (int i = 0; i < 3; ++i) answer(*engine, request(*engine, std::to_string(i) + long_prompt + long_prompt, 300));
    EXPECT_EQ(asked->state(), State::Paused);
    EXPECT_EQ(asked->take_transcript(), nullptr) << "not before it is over";
    asked->resume();
    const Said all = said(asked);
    expect_same_texts({all.text}, {expected});
    EXPECT_LT(all.done.usage.generate_seconds + 0.25, seconds(Clock::now() - start)) << "the pause is not its own time";
  }
  EXPECT_GE(paused, 1);
}

TEST_F(Requests, ThatArePausedCanBeCancelledOrPausedBeforeTheyBegin) {
  const auto engine = make_engine();
  const Asked paused = engine->start(question("Hello"));
  paused->pause();
  wait_for(paused, State::Paused);
  const bool was_over = paused->journal().over();
  paused->cancel();
  EXPECT_EQ(said(paused).done.finish == Finish::Cancelled, !was_over);
  const Asked early = engine->start(question("Hello"));
  early->pause();
  wait_for(early, State::Paused);
  early->resume();
  EXPECT_NE(said(early).done.finish, Finish::Failed);
  const Asked left_alone = engine->start(endless(*engine));
  wait_for_tokens(left_alone, 1);
  left_alone->pause();
  wait_for(left_alone, State::Paused);
  EXPECT_TRUE(engine->retire().empty()) << "what was begun ends";
  const Done end = said(left_alone).done;
  EXPECT_EQ(end.finish, Finish::Failed);
  EXPECT_THAT(end.error->what(), testing::HasSubstr("replaced"));
}

TEST_F(Requests, TheNextTurnGoesOnFromTheVeryTokens) {
  const auto engine = make_engine();
  Turn first = question("What is 12 + 34?");
  first.input.enable_thinking = false;
  const Asked asked = engine->start(first);
  const Said answered = said(asked);
  const auto before = asked->take_transcript();
  ASSERT_TRUE(before);
  EXPECT_EQ(asked->take_transcript(), nullptr) << "once";
  Turn next = question("And 1 more?");
  next.input.enable_thinking = false;
  next.input.messages = {{{"role", "user"}, {"content", "What is 12 + 34?"}},
                         {{"role", "assistant"}, {"content", answered.text}},
                         {{"role", "user"}, {"content", "And 1 more?"}}};
  next.before = before;
  const Said second = said(engine->start(next));
  EXPECT_GE(second.done.usage.cached_tokens + 2, before->size());
  const auto alone = make_engine();
  expect_same_texts({second.text}, {said(alone->start(next)).text});
}

TEST_F(Requests, TheServersSystemPromptIsForConversationsThatBringNone) {
  Options options{.device = device, .threads = 2, .context = 1024, .exact = true};
  options.system = "Call yourself Ada. " + std::string(long_prompt);
  Engine engine(gguf::File::open(demo_model), options);
  const auto tokens = [&](const char* role, const std::string& account) {
    Turn turn = question("Hello");
    turn.input.messages = {{{"role", role}, {"content", "Be brief."}}, {{"role", "user"}, {"content", "Hello"}}};
    if (std::string_view(role) == "user") turn.input.messages.erase(0);
    turn.limits.max_tokens = 2;
    turn.asker.account = account;
    return said(engine.start(turn)).done.usage;
  };
  const Usage with = tokens("user", "a");
  EXPECT_GT(with.prompt_tokens, tokens("system", "a").prompt_tokens + 50);
  EXPECT_EQ(tokens("developer", "a").prompt_tokens, tokens("system", "a").prompt_tokens);
  EXPECT_EQ(tokens("user", "a").cached_tokens, with.prompt_tokens - 1);
  const std::uint32_t shared = tokens("user", "b").cached_tokens;
  EXPECT_GE(shared, 64u) << "the system prompt is shared by all accounts";
  EXPECT_LT(shared, with.prompt_tokens - 1) << "and what follows it is not";
}

TEST_F(Requests, EndByTheirDeadline) {
  const auto engine = make_engine(long_context);
  Request slow = endless(*engine);
  Said cut;
  for (const double deadline : {0.3, 3.0, 30.0}) {  // until a busy machine begins it by then
    slow.limits.deadline = deadline;
    cut = said(engine->start(slow));
    if (cut.done.finish != Finish::Failed) break;
  }
  EXPECT_EQ(cut.done.finish, Finish::Length);
  EXPECT_FALSE(cut.text.empty());
  EXPECT_LT(cut.done.usage.generated_tokens, long_context / 2);
  slow.limits.deadline = 1e-9;
  const Said late = said(engine->start(slow));
  EXPECT_EQ(late.done.finish, Finish::Failed);
  ASSERT_TRUE(late.done.error);
  EXPECT_EQ(late.done.error->kind(), base::ErrorKind::Busy);
}

TEST_F(Requests, OneThatDoesNotFitHoldsUpNobodyAndNobodyIsPreemptedForItInVain) {
  Options options{.device = device, .threads = 2, .context = 1024, .exact = true};
  options.conversations = 1;
  Engine engine(gguf::File::open(demo_model), options);
  const auto ask = [&](Request one, const char* client) {
    one.asker.client = client;
    return engine.start(std::move(one));
  };
  // A client's oldest has so much that the others' room together would not do for what comes.
  Request large = endless(engine, "one");
  large.prompt.assign(400, large.prompt.front());
  std::vector<Asked> first = {ask(large, "a"), ask(endless(engine, "two"), "a"), ask(endless(engine, "three"), "a")};
  for (const Asked& one : first) wait_for_tokens(one, 1);
  Request larger = endless(engine, "four");
  larger.prompt.assign(800, larger.prompt.back());
  const Asked waits = ask(larger, "b");
  const Said quick = said(ask(request(engine, "five", 4), "c"));
  EXPECT_NE(quick.done.finish, Finish::Failed);
  EXPECT_EQ(waits->state(), State::Queued) << "it was passed over";
  for (const Asked& one : first) {
    EXPECT_EQ(one->state(), State::Writing);
    one->cancel();
  }
  wait_for(waits, State::Reading);
  waits->cancel();
}

TEST_F(Requests, PausingMakesNoPlacesInTheQueue) {
  Options options{.device = device, .threads = 2, .context = 512, .exact = true};
  options.conversations = 1;
  options.most_waiting = 16;
  Engine engine(gguf::File::open(demo_model), options);
  std::vector<Asked> asked;
  const auto ask = [&] {
    Request one = endless(engine, long_prompt);
    one.asker.client = "greedy";
    asked.push_back(engine.start(one));
    asked.back()->pause();
  };
  EXPECT_THROW(for (int i = 0; i < 40; ++i) ask(), Busy);
  EXPECT_LE(asked.size(), 16u);
  for (const Asked& one : asked) one->resume();
  Request other = request(engine, "hello", 2);
  other.asker.client = "other";
  EXPECT_NE(said(engine.start(other)).done.finish, Finish::Failed);
  for (const Asked& one : asked) one->cancel();
}

TEST_F(Requests, OneClientLeavesPlacesForOthersAndAnothersComesSoon) {
  Options options{.device = device, .threads = 2, .context = 512, .exact = true};
  options.conversations = 1;
  options.most_waiting = 16;
  Engine engine(gguf::File::open(demo_model), options);
  const auto ask = [&](const char* client) {
    Request one = endless(engine, long_prompt);
    one.asker.client = client;
    return engine.start(one);
  };
  std::vector<Asked> greedy;
  const auto fill = [&] {
    for (int i = 0; i < 40; ++i) greedy.push_back(ask("greedy"));
  };
  try {
    fill();
    FAIL() << "40 found 16 places";
  } catch (const Busy& busy) {
    EXPECT_THAT(busy.what(), testing::HasSubstr("yours"));
    EXPECT_GE(busy.retry_after, 1u);
  }
  const Asked other = ask("other");
  wait_for(other, State::Reading);
  const auto queued = std::ranges::count_if(greedy, [](const Asked& one) { return one->state() == State::Queued; });
  EXPECT_GE(queued, 8) << "it did not wait until all of the other one's had been answered";
  for (const Asked& one : greedy) one->cancel();
  other->cancel();
}

TEST_F(Requests, RefusesWhatItCannotAnswer) {
  const auto engine = make_engine(128);
  EXPECT_THROW(engine->start(Request{}), base::Error);
  EXPECT_THROW(engine->start(Request{.prompt = {-1}}), base::Error);
  EXPECT_THROW(engine->start(Request{.prompt = std::vector<Token>(128, 5)}), base::Error);
  EXPECT_THROW(engine->start(Request{.prompt = {5}, .sampling = {.temperature = -1}}), base::Error);
  const Done too_long = said(engine->start(question(std::string(2000, 'x')))).done;
  EXPECT_EQ(too_long.finish, Finish::Failed);
  EXPECT_EQ(too_long.error->kind(), base::ErrorKind::TooLong);
  Turn nonsense = question("Hello");
  nonsense.input.messages = "nonsense";
  EXPECT_EQ(said(engine->start(nonsense)).done.error->kind(), base::ErrorKind::Input);
}

TEST_F(Requests, TooManyAreRefusedAsBusy) {
  Engine engine(gguf::File::open(demo_model), {.device = device, .threads = 1, .context = 64, .most_waiting = 2});
  std::vector<Asked> asked;
  bool refused = false;
  for (int i = 0; i < 100 && !refused; ++i) {
    try {
      asked.push_back(engine.start(endless(engine)));
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::Busy);
      refused = true;
    }
  }
  EXPECT_TRUE(refused);
  for (const Asked& one : asked) one->cancel();
  for (const Asked& one : asked) EXPECT_NE(said(one).done.finish, Finish::Failed);
}

TEST_F(Requests, AnEngineThatIsReplacedEndsWhatItBeganAndHandsBackTheRest) {
  auto old = make_engine(512);
  Request long_one = endless(*old, std::string(long_prompt) + long_prompt);
  const Asked begun = old->start(long_one);
  wait_for_tokens(begun, 1);
  std::vector<Asked> turns;
  for (int i = 0; i < 12; ++i)
    turns.push_back(old->start(question(std::string(long_prompt) + long_prompt + long_prompt)));
  std::vector<Unbegun> handed_back = old->retire();
  EXPECT_EQ(said(begun).done.finish, Finish::Length);
  EXPECT_THROW(old->start(question("Hello")), base::Error);
  EXPECT_FALSE(handed_back.empty());
  old.reset();
  turns.back()->cancel();
  const auto replacement = make_engine(1024);
  replacement->adopt(std::move(handed_back));
  for (const Asked& turn : turns) {
    const Finish finish = said(turn).done.finish;
    EXPECT_EQ(finish == Finish::Cancelled, turn == turns.back());
    EXPECT_NE(finish, Finish::Failed);
  }
}

TEST_F(Requests, ABrokenModelFailsTheRequestAndNotTheProgram) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("nan-" + std::to_string(getpid()) + ".gguf");
  std::filesystem::copy_file(demo_model, path, std::filesystem::copy_options::overwrite_existing);
  {
    const gguf::File file = gguf::File::open(path);
    const auto norm = file.tensor("output_norm.weight")->room;
    const auto at = norm.data() - file.mapping().bytes().data();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::fstream out(path, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(at);
    out.write(reinterpret_cast<const char*>(&nan), sizeof nan);
  }
  Engine engine(gguf::File::open(path), {.device = device, .threads = 1, .context = 128});
  for (int i = 0; i < 2; ++i) {
    const Done done = engine.start(Request{.prompt = {5, 6, 7}})->journal().wait_for_end();
    EXPECT_EQ(done.finish, Finish::Failed);
    EXPECT_THAT(done.error->what(), testing::HasSubstr("not finite"));
  }
  std::filesystem::remove(path);
}

TEST_F(Requests, AContextThatDoesNotFitIsRefusedWithOneThatWould) {
  const auto cpu = compute::make_cpu_device(1);
  const compute::KvShape shape{.layers = 36, .kv_heads = 4, .head_size = 128};
  try {
    smollm3::PagePool pool(*cpu, shape, 131072, 1'000'000'000);
    FAIL() << "9.7 GB fitted into 1 GB";
  } catch (const base::Error& error) {
    EXPECT_THAT(error.remedy(), testing::HasSubstr("--ctx 13"));
  }
}

}  // namespace
}  // namespace engine
