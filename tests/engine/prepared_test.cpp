// Turns that are started in two steps: prepared, and begun when whoever asked says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "compute/compute.h"
#include "engine/engine.h"
#include "engine/prepared.h"
#include "reference/source_folder.h"

namespace engine {
namespace {

using Asked = std::shared_ptr<Generation>;

// Whoever asks: keeps what it is told until it is looked at.
class Told {
 public:
  OnPrepared callback() {
    return [inner = inner_](Preparation preparation) {
      const std::lock_guard lock(inner->mutex);
      inner->all.push_back(std::move(preparation));
      inner->changed.notify_all();
    };
  }
  std::size_t count() const {
    const std::lock_guard lock(inner_->mutex);
    return inner_->all.size();
  }
  Preparation next() {
    std::unique_lock lock(inner_->mutex);
    inner_->changed.wait(lock, [this] { return !inner_->all.empty(); });
    Preparation first = std::move(inner_->all.front());
    inner_->all.pop_front();
    return first;
  }
  Prepared prepared() { return std::get<Prepared>(next()); }
  Done done() { return std::get<Done>(next()); }

 private:
  struct Inner {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Preparation> all;
  };
  std::shared_ptr<Inner> inner_ = std::make_shared<Inner>();
};

Turn question(std::string text, std::uint32_t max_tokens = 100) {
  Turn turn;
  turn.input.messages = {{{"role", "user"}, {"content", std::move(text)}}};
  turn.sampling = {.temperature = 0};
  turn.limits.max_tokens = max_tokens;
  return turn;
}

std::vector<Token> tokens_of(const Asked& asked) {
  EXPECT_NE(asked->journal().wait_for_end().finish, Finish::Failed);
  return asked->journal().said().tokens;
}

void expect_busy(const Asked& asked) {
  const Done done = asked->journal().wait_for_end();
  EXPECT_EQ(done.finish, Finish::Failed);
  ASSERT_TRUE(done.error);
  EXPECT_EQ(done.error->kind(), base::ErrorKind::Busy);
}

void expect_refused(Prepared prepared) {
  try {
    std::move(prepared).start();
    FAIL() << "there is nobody to compute it";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::Busy);
  }
}

class PreparedTurns : public testing::Test {
 protected:
  static std::unique_ptr<Engine> make_engine(std::uint32_t context = 1024, std::size_t most_waiting = 256) {
    return std::make_unique<Engine>(gguf::File::open(reference::source_folder() / "models/demo.gguf"),
                                    Options{.device = compute::DeviceKind::Cpu,
                                            .threads = 2,
                                            .context = context,
                                            .conversations = 1,
                                            .exact = true,
                                            .most_waiting = most_waiting});
  }
};

TEST_F(PreparedTurns, AreBegunWhenTheyAreStarted) {
  const auto engine = make_engine();
  const std::vector<Token> expected = tokens_of(engine->start(question("What is 12 + 34?")));
  Told told;
  const Asked asked = engine->prepare(question("What is 12 + 34?"), told.callback());
  Prepared prepared = told.prepared();
  EXPECT_EQ(prepared.generation(), asked);
  EXPECT_EQ(prepared.request().limits.room, 1024u);
  EXPECT_EQ(prepared.request().limits.max_tokens, 100u);
  const std::size_t prompt = prepared.request().prompt.size();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(asked->state(), State::Queued);
  EXPECT_TRUE(asked->journal().said().tokens.empty());
  Prepared moved(std::move(prepared));
  std::move(moved).start();
  EXPECT_EQ(tokens_of(asked), expected);
  EXPECT_EQ(asked->journal().wait_for_end().usage.prompt_tokens, prompt);
  EXPECT_EQ(told.count(), 0u);
}

TEST_F(PreparedTurns, ThatAreDroppedAreCancelled) {
  const auto engine = make_engine();
  Told told;
  const Asked first = engine->prepare(question("Hello"), told.callback());
  const Asked second = engine->prepare(question("Hello"), told.callback());
  {
    Prepared prepared = told.prepared();
    prepared = told.prepared();
    EXPECT_EQ(prepared.generation(), second);
  }
  EXPECT_EQ(first->journal().wait_for_end().finish, Finish::Cancelled);
  EXPECT_EQ(second->journal().wait_for_end().finish, Finish::Cancelled);
  EXPECT_EQ(told.count(), 0u);
}

TEST_F(PreparedTurns, ThatCannotBeAnsweredEndWithTheError) {
  const auto engine = make_engine(128);
  Told told;
  const Asked asked = engine->prepare(question(std::string(2000, 'x')), told.callback());
  const Done done = told.done();
  EXPECT_EQ(done.finish, Finish::Failed);
  EXPECT_EQ(done.error->kind(), base::ErrorKind::TooLong);
  EXPECT_EQ(asked->journal().wait_for_end().error->kind(), base::ErrorKind::TooLong);
  Turn nonsense = question("Hello");
  nonsense.input.messages = "nonsense";
  engine->prepare(nonsense, told.callback());
  EXPECT_EQ(told.done().error->kind(), base::ErrorKind::Input);
  nonsense.sampling.temperature = -1;
  EXPECT_THROW(engine->prepare(nonsense, told.callback()), base::Error);
}

TEST_F(PreparedTurns, CanBeCancelledBeforeAndAfter) {
  const auto engine = make_engine();
  Told told, of_second;
  std::promise<void> release;
  // Keeps the preparing thread, which nobody should.
  const Asked first = engine->prepare(question("Hello"), [&, keep = told.callback()](Preparation preparation) {
    release.get_future().wait();
    keep(std::move(preparation));
  });
  const Asked second = engine->prepare(question("Hello"), of_second.callback());
  second->cancel();
  EXPECT_EQ(of_second.done().finish, Finish::Cancelled);
  EXPECT_EQ(second->journal().wait_for_end().finish, Finish::Cancelled);
  release.set_value();
  Prepared prepared = told.prepared();
  first->cancel();
  std::move(prepared).start();
  EXPECT_EQ(first->journal().wait_for_end().finish, Finish::Cancelled);
  EXPECT_EQ(told.count() + of_second.count(), 0u);
}

TEST_F(PreparedTurns, TakeTheirPlaceInTheQueue) {
  const auto engine = make_engine(256, /*most_waiting=*/4);
  Told told;
  std::vector<Prepared> held;
  for (int i = 0; i < 3; ++i) {
    engine->prepare(question("Hello"), told.callback());
    held.push_back(told.prepared());
  }
  EXPECT_THROW(engine->prepare(question("Hello"), told.callback()), Busy);
  held.clear();
  EXPECT_NE(tokens_of(engine->start(question("Hello"))).size(), 0u);
}

TEST_F(PreparedTurns, MayOutliveTheEngine) {
  auto engine = make_engine();
  Told told;
  const Asked started = engine->prepare(question("Hello"), told.callback());
  Prepared to_start = told.prepared();
  const Asked dropped = engine->prepare(question("Hello"), told.callback());
  {
    const Prepared to_drop = told.prepared();
    const Asked waits = engine->prepare(question("Hello"), told.callback());
    engine.reset();
    EXPECT_EQ(told.count(), 1u);
    told.next();
    EXPECT_TRUE(waits->journal().over()) << "prepared and dropped, or cancelled before";
    started->cancel();
    EXPECT_FALSE(started->journal().over());
    EXPECT_FALSE(dropped->journal().over());
  }
  EXPECT_EQ(dropped->journal().wait_for_end().finish, Finish::Cancelled);
  expect_refused(std::move(to_start));
  expect_busy(started);
}

// As the server does it when another model is chosen.
TEST_F(PreparedTurns, GoToTheEngineThatReplacesTheirs) {
  auto old = make_engine(512);
  const std::string book = [] {
    std::string text;
    for (int i = 0; i < 20; ++i) text += "The quick brown fox jumps over the lazy dog, again and again. ";
    return text;
  }();
  // Has little to read and much to write, beside which there is no room for the others.
  Request endless{.prompt = old->tokenizer().encode(book.substr(0, book.size() / 3)), .sampling = {.temperature = 0}};
  for (const Token token : old->tokenizer().end_tokens()) endless.sampling.logit_bias[token] = -1000;
  const Asked begun = old->start(endless);
  while (begun->journal().said().tokens.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));

  Told of_waiting, of_cancelled, of_held;
  const Asked waiting = old->prepare(question(book), of_waiting.callback());
  Prepared first = of_waiting.prepared();
  const std::vector<Token> prompt = first.request().prompt;
  ASSERT_GT(prompt.size() + endless.prompt.size(), 512u);
  std::move(first).start();
  const Asked cancelled = old->prepare(question(book), of_cancelled.callback());
  of_cancelled.prepared().start();
  const Asked held = old->prepare(question("Hello"), of_held.callback());
  Prepared to_start = of_held.prepared();

  std::vector<Unbegun> turns = old->retire();
  EXPECT_EQ(begun->journal().wait_for_end().finish, Finish::Length);
  Told of_late;
  EXPECT_THROW(old->prepare(question("Hello"), of_late.callback()), base::Error);
  ASSERT_EQ(turns.size(), 2u) << "those that were started and not begun";
  expect_refused(std::move(to_start));
  expect_busy(held);
  old.reset();

  // Between two engines.
  std::deque<Unbegun> between(std::make_move_iterator(turns.begin()), std::make_move_iterator(turns.end()));
  std::mutex mutex;
  cancelled->cancel();
  end_cancelled(between, std::unique_lock(mutex));
  EXPECT_EQ(of_cancelled.done().finish, Finish::Cancelled);

  const auto replacement = make_engine(1024);
  replacement->adopt({between.begin(), between.end()});
  Prepared again = of_waiting.prepared();
  EXPECT_EQ(again.generation(), waiting);
  EXPECT_EQ(again.request().prompt, prompt) << "it is the same model";
  EXPECT_EQ(again.request().limits.room, 1024u) << "but another context";
  EXPECT_EQ(waiting->state(), State::Queued);
  std::move(again).start();
  EXPECT_FALSE(tokens_of(waiting).empty());
  for (const Told* told : {&of_waiting, &of_cancelled, &of_held, &of_late}) EXPECT_EQ(told->count(), 0u);
}

}  // namespace
}  // namespace engine
