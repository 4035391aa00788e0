#include "server/engine_slot.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

#include "base/error.h"
#include "server/answer.h"
#include "server/test_models.h"

namespace server {
namespace {

using namespace std::chrono_literals;
using Asked = std::shared_ptr<engine::Generation>;

// The longer, the longer an answer goes on that a test needs to be under way.
constexpr std::uint32_t context = 4096;

EngineSlot::Factory demo() {
  return [] { return make_engine(demo_model(), context); };
}
EngineSlot::Factory endless() {
  return [] { return make_engine(endless_model(), context); };
}
EngineSlot::Factory none() {
  return []() -> std::unique_ptr<engine::Engine> { throw base::Error("new.gguf", "is damaged"); };
}

engine::Turn question(std::string text = "What is 12 + 34?") {
  engine::Turn turn;
  turn.input.messages = {{{"role", "user"}, {"content", std::move(text)}}};
  turn.sampling = {.temperature = 0};
  return turn;
}

// So long that no two of them fit into the context.
engine::Turn long_question() {
  std::string text;
  for (int i = 0; i < 1100; ++i) text += std::to_string(i % 10) + "+";
  return question(text);
}

// One that waits, and whose answer is short once it is begun.
engine::Turn patient_question() {
  engine::Turn turn = long_question();
  turn.limits.max_tokens = 8;
  return turn;
}

bool whole(const Answer& answer) {
  return answer.done->finish == engine::Finish::Stop || answer.done->finish == engine::Finish::Length;
}

void until(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + 5min;
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::sleep_for(1ms);
  }
}

Answer end_of(const Asked& asked) {
  asked->journal().wait_for_end();
  return answer_of(asked->journal());
}

struct Busy {
  Asked writing;
  std::vector<Asked> queued;
};

Busy one_that_writes_and_three_that_wait(EngineSlot& slot) {
  Busy busy{slot.start(long_question()), {}};
  until([&] { return busy.writing->journal().progress().generated_tokens > 2; });
  for (int i = 0; i < 3; ++i) busy.queued.push_back(slot.start(patient_question()));
  until([&] { return slot.load().waiting == 3; });
  return busy;
}

TEST(EngineSlot, AnswersUnderWayEndAndThoseQueuedAreAnsweredByTheNewModel) {
  EngineSlot slot(endless());
  const auto [writing, queued] = one_that_writes_and_three_that_wait(slot);
  queued[1]->cancel();

  auto replacing = std::async(std::launch::async, [&] { slot.replace(demo()); });
  EXPECT_EQ(end_of(writing).done->finish, engine::Finish::Length);
  replacing.get();
  EXPECT_TRUE(whole(end_of(queued[0])));
  EXPECT_EQ(end_of(queued[1]).done->finish, engine::Finish::Cancelled);
  EXPECT_TRUE(whole(end_of(queued[2])));
  EXPECT_NE(end_of(slot.start(question())).text.find("46"), std::string::npos);
}

TEST(EngineSlot, WhatWaitsCanBeCancelledAllTheWhileThatItIsReplaced) {
  EngineSlot slot(endless());
  const auto [writing, queued] = one_that_writes_and_three_that_wait(slot);
  std::promise<void> making, go_on;
  auto replacing = std::async(std::launch::async, [&] {
    slot.replace([&] {
      making.set_value();
      go_on.get_future().wait();
      return demo()();
    });
  });
  const auto refused = [&] {
    try {
      slot.start(question())->cancel();
      return false;
    } catch (const base::Error&) {
      return true;
    }
  };
  until(refused);  // the old one ends what it began
  queued[0]->cancel();
  EXPECT_EQ(end_of(queued[0]).done->finish, engine::Finish::Cancelled);
  EXPECT_FALSE(writing->journal().over());
  writing->cancel();
  making.get_future().wait();  // there is none
  queued[1]->cancel();
  EXPECT_EQ(end_of(queued[1]).done->finish, engine::Finish::Cancelled);
  EXPECT_FALSE(queued[2]->journal().over());
  go_on.set_value();
  replacing.get();
  EXPECT_TRUE(whole(end_of(queued[2])));
}

TEST(EngineSlot, RefusesAsBusyWhileItIsReplaced) {
  EngineSlot slot(endless());
  const Asked writing = slot.start(question());
  until([&] { return writing->journal().progress().generated_tokens > 2; });
  std::promise<void> go_on;
  auto replacing = std::async(std::launch::async, [&] {
    slot.replace([&] {
      go_on.get_future().wait();
      return demo()();
    });
  });
  const auto refusal = [&]() -> std::optional<base::ErrorKind> {
    try {
      slot.start(question())->cancel();
      return std::nullopt;
    } catch (const base::Error& error) {
      return error.kind();
    }
  };
  until([&] { return refusal() == base::ErrorKind::Busy; });
  writing->cancel();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(refusal(), base::ErrorKind::Busy);
    EXPECT_FALSE(slot.facts()->name.empty());
    std::this_thread::sleep_for(1ms);
  }
  go_on.set_value();
  replacing.get();
  EXPECT_EQ(refusal(), std::nullopt);
}

TEST(EngineSlot, GoesOnWithTheOldOneIfTheNewOneCannotBeMade) {
  EngineSlot slot(demo());
  const std::string name = slot.facts()->name;
  EXPECT_THROW(slot.replace(none()), base::Error);
  EXPECT_EQ(slot.facts()->name, name);
  EXPECT_NE(end_of(slot.start(question())).text.find("46"), std::string::npos);
}

TEST(EngineSlot, WhatWaitsFailsIfNeitherCanBeMade) {
  bool made = false;
  EngineSlot slot([&]() -> std::unique_ptr<engine::Engine> {
    if (std::exchange(made, true)) throw base::Error(base::ErrorKind::Resource, "old.gguf", "is gone");
    return endless()();
  });
  const Asked writing = slot.start(long_question());
  until([&] { return writing->journal().progress().generated_tokens > 2; });
  const Asked queued = slot.start(long_question());
  EXPECT_THROW(slot.replace(none()), base::Error);
  const Answer answer = end_of(queued);
  EXPECT_TRUE(answer.failed());
  EXPECT_NE(answer.failure().find("old.gguf"), std::string::npos);
  try {
    slot.start(question());
    ADD_FAILURE() << "there is no engine";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::Resource);
  }
  slot.replace(demo());
  EXPECT_NE(end_of(slot.start(question())).text.find("46"), std::string::npos);
}

TEST(EngineSlot, StoppingEndsWhatIsUnderWay) {
  EngineSlot slot(endless());
  const Asked writing = slot.start(long_question());
  const Asked queued = slot.start(long_question());
  slot.stop();
  EXPECT_EQ(end_of(writing).done->finish, engine::Finish::Cancelled);
  EXPECT_EQ(end_of(queued).done->finish, engine::Finish::Cancelled);
  EXPECT_THROW(slot.start(question()), base::Error);
}

}  // namespace
}  // namespace server
