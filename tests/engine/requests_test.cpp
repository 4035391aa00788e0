// Requests on their way through the engine: queueing, cancelling, reuse of what is computed, and failure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "engine/assistant.h"
#include "engine/engine.h"
#include "reference/on_device.h"
#include "reference/source_folder.h"

namespace engine {
namespace {

const std::filesystem::path demo_model = reference::source_folder() / "models/demo.gguf";

// Gathers what happens to one request.
class Record {
 public:
  // With a pause the request takes so long for every piece of its text.
  Listener listener(std::chrono::milliseconds pause = {}) {
    return [this, pause](const Update& update) {
      std::this_thread::sleep_for(pause);
      const std::lock_guard lock(mutex_);
      text_ += update.text;
      if (!update.text.empty()) ++pieces_;
      if (update.finish) {
        finish_ = update.finish;
        error_ = update.error;
        usage_ = update.usage;
        ++finishes_;
      }
      changed_.notify_all();
    };
  }

  Finish wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return finish_.has_value(); });
    return *finish_;
  }
  void wait_for_pieces(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return pieces_ >= count || finish_; });
  }
  bool finished() const {
    const std::lock_guard lock(mutex_);
    return finish_.has_value();
  }
  std::string text() const { return text_; }
  std::string error() const { return error_; }
  const Usage& usage() const { return usage_; }
  int finishes() const { return finishes_; }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_, error_;
  std::optional<Finish> finish_;
  Usage usage_;
  int pieces_ = 0;
  int finishes_ = 0;
};

// The pause of a listener whose endless request is under way for ten seconds, however fast the machine is.
constexpr std::chrono::milliseconds unhurried{10};

Request request(const Engine& engine, std::string_view prompt, std::uint32_t max_tokens = 24) {
  return {.prompt = engine.tokenizer().encode(prompt), .sampling = {.temperature = 0}, .max_tokens = max_tokens};
}

// A request that goes on until it is cancelled or the context is full: its end-of-turn tokens are forbidden.
Request endless(const Engine& engine) {
  Request endless = request(engine, "one two three", 0);
  for (const Token token : engine.tokenizer().end_tokens()) endless.sampling.logit_bias[token] = -1000;
  return endless;
}

std::string answer(Engine& engine, Request asked, Usage* usage = nullptr) {
  Record record;
  engine.submit(std::move(asked), record.listener());
  EXPECT_NE(record.wait(), Finish::Failed) << record.error();
  if (usage) *usage = record.usage();
  return record.text();
}

constexpr const char* long_prompt =
    "The quick brown fox jumps over the lazy dog, again and again, until the evening comes and both of them are tired. "
    "Then they sit down together, look at the river, and count the boats that pass: one, two, three, four, five, six.";

class Requests : public reference::OnDevice {
 protected:
  // On the CPU exact, whatever the processor: in a fast mode prompts have other bits than what was generated.
  static std::unique_ptr<Engine> make_engine(std::uint32_t context = 1024) {
    return std::make_unique<Engine>(gguf::File::open(demo_model),
                                    Options{.device = device, .threads = 2, .context = context, .exact = true});
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

TEST_F(Requests, AnswersInTheOrderOfAsking) {
  const auto engine = make_engine();
  Record running, second, third;
  const auto ticket = engine->submit(endless(*engine), running.listener(unhurried));
  running.wait_for_pieces(3);
  const auto next = engine->submit(request(*engine, "a"), second.listener());
  const auto last = engine->submit(request(*engine, "b"), third.listener());
  EXPECT_EQ(next->ahead(), 1u);
  EXPECT_EQ(last->ahead(), 2u);
  EXPECT_EQ(engine->load().waiting, 2u);
  EXPECT_FALSE(second.finished());
  ticket->cancel();
  EXPECT_EQ(running.wait(), Finish::Cancelled);
  EXPECT_NE(second.wait(), Finish::Cancelled);
  EXPECT_NE(third.wait(), Finish::Cancelled);
  EXPECT_GT(third.usage().queue_seconds, second.usage().queue_seconds);
}

TEST_F(Requests, AWaitingRequestThatIsCancelledLeavesAtOnce) {
  const auto engine = make_engine();
  Record running, waiting;
  const auto ticket = engine->submit(endless(*engine), running.listener(unhurried));
  running.wait_for_pieces(1);
  const auto gone = engine->submit(request(*engine, "a"), waiting.listener());
  gone->cancel();
  EXPECT_EQ(waiting.wait(), Finish::Cancelled);
  EXPECT_FALSE(running.finished());
  ticket->cancel();
  EXPECT_EQ(running.wait(), Finish::Cancelled);
  EXPECT_EQ(waiting.finishes(), 1);
}

TEST_F(Requests, ShuttingDownCancelsEverything) {
  auto engine = make_engine();
  Record running, waiting;
  engine->submit(endless(*engine), running.listener(unhurried));
  engine->submit(endless(*engine), waiting.listener());
  running.wait_for_pieces(1);
  engine.reset();
  EXPECT_EQ(running.wait(), Finish::Cancelled);
  EXPECT_EQ(waiting.wait(), Finish::Cancelled);
}

TEST_F(Requests, MaxTokensAndTheContextEndAnAnswer) {
  const auto engine = make_engine(128);
  Usage usage;
  Request counted = endless(*engine);
  counted.max_tokens = 7;
  answer(*engine, counted, &usage);
  EXPECT_EQ(usage.generated_tokens, 7u);
  Record record;
  engine->submit(endless(*engine), record.listener());
  EXPECT_EQ(record.wait(), Finish::Length);
  EXPECT_EQ(record.usage().prompt_tokens + record.usage().generated_tokens, 128u);
}

TEST_F(Requests, AStopTextEndsTheAnswerAndIsNotPartOfIt) {
  const auto engine = make_engine();
  Request asked = endless(*engine);
  asked.max_tokens = 40;
  const std::string whole = answer(*engine, asked);
  ASSERT_GT(whole.size(), 12u);
  asked.stop = {whole.substr(whole.size() / 2, 5)};
  Record record;
  engine->submit(asked, record.listener());
  EXPECT_EQ(record.wait(), Finish::Stop);
  EXPECT_EQ(record.text(), whole.substr(0, whole.find(asked.stop[0])));
}

struct Said {
  std::string thinking, text;
  Finish finish;
};

Said said(Engine& engine, const Turn& turn) {
  std::promise<Finish> done;
  Said result;
  submit_turn(engine, turn, [&](const TurnEvent& event) {
    if (const auto* output = std::get_if<smollm3::OutputEvent>(&event)) {
      (output->kind == smollm3::OutputEvent::Kind::Thinking ? result.thinking : result.text) += output->text;
    } else if (const auto* end = std::get_if<Done>(&event)) {
      done.set_value(end->finish);
    }
  });
  result.finish = done.get_future().get();
  return result;
}

TEST_F(Requests, AStopTextEndsTheAnswerAndNotTheThinking) {
  const auto engine = make_engine();
  Turn turn;
  turn.input.messages = {{{"role", "user"}, {"content", "What is 12 + 34?"}}};
  turn.sampling = {.temperature = 0};
  turn.max_tokens = 200;
  const Said whole = said(*engine, turn);
  ASSERT_GT(whole.thinking.size(), 4u);
  ASSERT_GT(whole.text.size(), 4u);

  turn.stop = {whole.thinking.substr(whole.thinking.size() / 2, 3)};
  EXPECT_EQ(said(*engine, turn).thinking, whole.thinking);
  turn.stop = {whole.text.substr(whole.text.size() / 2, 2)};
  const Said cut = said(*engine, turn);
  EXPECT_EQ(cut.thinking, whole.thinking);
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(turn.stop[0])));
  EXPECT_EQ(cut.finish, Finish::Stop);
}

TEST_F(Requests, RefusesWhatItCannotAnswer) {
  const auto engine = make_engine(128);
  const auto submit = [&](Request asked) { engine->submit(std::move(asked), [](const Update&) {}); };
  EXPECT_THROW(submit({}), base::Error);
  EXPECT_THROW(submit({.prompt = {-1}}), base::Error);
  EXPECT_THROW(submit({.prompt = std::vector<Token>(128, 5)}), base::Error);
  EXPECT_THROW(submit({.prompt = {5}, .sampling = {.temperature = -1}}), base::Error);
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
    Record record;
    engine.submit({.prompt = {5, 6, 7}}, record.listener());
    EXPECT_EQ(record.wait(), Finish::Failed);
    EXPECT_THAT(record.error(), testing::HasSubstr("not finite"));
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
