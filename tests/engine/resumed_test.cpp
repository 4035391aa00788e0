// Answers that go on where another process had come with them: cut after every token that a recorder could have seen
// last, and gone on with on a worker that knows nothing but the request and what was said. Whatever was cut, the
// journal is the one of the answer that nobody interrupted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/preparer.h"
#include "engine/worker_bench.h"
#include "reference/source_folder.h"

namespace engine {
namespace {

using compute::Precision;

constexpr std::uint32_t context = 512;

const std::filesystem::path& demo_model() {
  static const std::filesystem::path path = reference::source_folder() / "models/demo.gguf";
  return path;
}

// All that a journal says, each event by itself.
struct Told {
  std::vector<std::string> events;
  std::vector<Token> tokens;
  Done done;
};

std::string text_of(const What& what) {
  if (const auto* thinking = std::get_if<Thinking>(&what)) return "thinks " + thinking->text;
  if (const auto* answer = std::get_if<Answer>(&what)) return "says " + answer->text;
  if (const auto* call = std::get_if<smollm3::ToolCall>(&what)) return "calls " + call->raw;
  return "ends";
}

Told told_by(const Generation& generation) {
  Told told;
  const Journal& journal = generation.journal();
  for (std::uint64_t number = 1; number <= journal.last_event(); ++number) {
    const std::vector<Event> one = journal.read({.event = number - 1}, number).events;
    EXPECT_EQ(one.size(), 1u);
    told.events.push_back(text_of(one.front().what));
    if (const auto* done = std::get_if<Done>(&one.front().what)) told.done = *done;
  }
  told.tokens = journal.said().tokens;
  return told;
}

class Resumed : public testing::Test {
 protected:
  // Of a worker on which nothing was computed before.
  Told answer(const Request& request, std::uint32_t of_context = context) {
    Bench bench(loaded_, Precision::Exact, of_context, of_context, 1);
    const auto generation = bench.start(request);
    while (bench.worker().step()) bench.worker().check();
    steps_ = bench.worker().counts().steps;
    EXPECT_TRUE(generation->journal().over());
    return told_by(*generation);
  }

  // What there was of an answer after each step that said something, nothing at first.
  std::vector<Said> recorded(const Request& request, Told* whole) {
    Bench bench(loaded_, Precision::Exact, context, context, 1);
    const auto generation = bench.start(request);
    std::vector<Said> records(1);
    while (bench.worker().step()) {
      Said said = generation->journal().said();
      if (said.tokens.size() > records.back().tokens.size()) records.push_back(std::move(said));
    }
    *whole = told_by(*generation);
    return records;
  }

  void expect_the_same_however_it_is_cut(Request request, const Told& whole, const std::vector<Said>& records) {
    for (const Said& said : records) {
      SCOPED_TRACE("cut after " + std::to_string(said.tokens.size()) + " tokens");
      request.said = said;
      const Told resumed = answer(request);
      ASSERT_EQ(resumed.events, whole.events);
      ASSERT_EQ(resumed.tokens, whole.tokens);
      ASSERT_EQ(resumed.done.finish, whole.done.finish);
      const Usage &got = resumed.done.usage, &wanted = whole.done.usage;
      ASSERT_EQ(got.prompt_tokens, wanted.prompt_tokens);
      ASSERT_EQ(got.generated_tokens, wanted.generated_tokens);
      ASSERT_EQ(got.thinking_tokens, wanted.thinking_tokens);
      ASSERT_LE(got.cached_tokens, got.prompt_tokens);
      ASSERT_GE(got.generate_seconds, said.generate_seconds);
      ASSERT_GE(got.thinking_seconds, said.thinking_seconds);
    }
  }

  Told expect_the_same_however_it_is_cut(const Request& request) {
    Told whole;
    const std::vector<Said> records = recorded(request, &whole);
    EXPECT_GT(records.size(), 4u);
    expect_the_same_however_it_is_cut(request, whole, records);
    return whole;
  }

  Request plain(std::uint32_t max_tokens = 40) const {
    Request plain{.prompt = loaded_.tokenizer().encode("one two three"),
                  .sampling = {.temperature = 0},
                  .limits = {.max_tokens = max_tokens}};
    for (const Token token : loaded_.tokenizer().end_tokens()) plain.sampling.logit_bias[token] = -1000;
    return plain;
  }
  Request chat(const std::string& question = "What is 123 + 345?") const {
    Turn turn;
    turn.input.messages = {{{"role", "user"}, {"content", question}}};
    turn.sampling = {.temperature = 0};
    turn.limits.max_tokens = 200;
    return prepare(turn, "", loaded_.chat_template(), loaded_.tokenizer());
  }

  LoadedModel loaded_{gguf::File::open(demo_model()), compute::DeviceKind::Cpu, 2, 0};
  std::uint64_t steps_ = 0;  // of answer()
};

TEST_F(Resumed, TextGoesOnAsIfNothingHadBeen) {
  EXPECT_EQ(expect_the_same_however_it_is_cut(plain()).done.finish, Finish::Length);
}

TEST_F(Resumed, DrawsAndPenaltiesGoOn) {
  Request request = plain();
  request.sampling.temperature = 1.5;
  request.sampling.seed = 7;
  const Told drawn = expect_the_same_however_it_is_cut(request);
  EXPECT_NE(drawn.tokens, answer(plain()).tokens);
  request.sampling.repetition_penalty = 1.3f;
  request.sampling.presence_penalty = 0.5f;
  request.sampling.frequency_penalty = 0.7f;
  EXPECT_NE(expect_the_same_however_it_is_cut(request).tokens, drawn.tokens);
}

TEST_F(Resumed, ThinkingAndTheAnswerAfterItGoOn) {
  const Told whole = expect_the_same_however_it_is_cut(chat());
  EXPECT_EQ(whole.done.finish, Finish::Stop);
  EXPECT_GT(whole.done.usage.thinking_tokens, 12u);
}

TEST_F(Resumed, ABudgetEndsTheThinkingWhereItWould) {
  Request request = chat();
  for (const std::uint32_t budget : {0u, 4u, 9u}) {
    request.limits.thinking_budget = budget;
    Told whole;
    const std::vector<Said> records = recorded(request, &whole);
    std::size_t most = 0;
    for (std::size_t i = 1; i < records.size(); ++i) {
      most = std::max(most, records[i].tokens.size() - records[i - 1].tokens.size());
    }
    EXPECT_GT(most, 1u) << "the tokens that close a thought are seen together";
    expect_the_same_however_it_is_cut(request, whole, records);
  }
  request.limits.thinking_budget = 2;
  for (request.limits.max_tokens = 1; request.limits.max_tokens < 24; request.limits.max_tokens += 3) {
    Told whole;
    const std::vector<Said> records = recorded(request, &whole);
    expect_the_same_however_it_is_cut(request, whole, records);
  }
}

TEST_F(Resumed, AThoughtEndsWhenItIsAskedTo) {
  Request request = chat();
  Told whole;
  request.said = recorded(request, &whole)[10];
  Bench bench(loaded_, Precision::Exact, context, context, 1);
  const auto generation = bench.start(request);
  generation->finish_thinking();
  while (bench.worker().step()) bench.worker().check();
  const Told told = told_by(*generation);
  EXPECT_NE(told.done.finish, Finish::Failed);
  EXPECT_LE(told.done.usage.thinking_tokens, 10u + 4);
  EXPECT_GE(told.done.usage.generate_seconds, request.said.generate_seconds);
  EXPECT_THAT(told.events, testing::Contains(testing::StartsWith("says ")));
}

TEST_F(Resumed, AStopTextEndsItWhereItWould) {
  Request request = plain();
  request.sampling.temperature = 1.5;  // else it says the same again and again
  const Told longer = answer(request);
  std::string text;
  for (std::size_t i = 0; i + 1 < longer.events.size(); ++i) text += longer.events[i].substr(5);
  ASSERT_GT(text.size(), 20u);
  std::size_t last = text.size() / 2;  // of a text that has not stood there before
  while (text.find(text.substr(last, 7)) < last) --last;
  request.limits.stop = {text.substr(last, 7)};
  const Told whole = expect_the_same_however_it_is_cut(request);
  EXPECT_EQ(whole.done.finish, Finish::Stop);
  EXPECT_LT(whole.tokens.size(), longer.tokens.size());
}

TEST_F(Resumed, NothingIsComputedForWhatWasSaidToItsEnd) {
  Request stops = plain(), full = plain(0);
  stops.limits.stop = {answer(plain(8)).events[4].substr(5)};
  full.limits.room = 64;
  for (Request request : {plain(), stops, full}) {
    const Told whole = answer(request);
    EXPECT_GT(steps_, 0u);
    request.said.tokens = whole.tokens;
    const Told resumed = answer(request);
    EXPECT_EQ(steps_, 0u);
    EXPECT_EQ(resumed.events, whole.events);
    EXPECT_EQ(resumed.done.finish, whole.done.finish);
  }
}

TEST_F(Resumed, AnAnswerHasTheRoomThatItHadInWhateverContext) {
  Request request = plain(0);
  request.limits.room = 64;
  const Told whole = expect_the_same_however_it_is_cut(request);
  EXPECT_EQ(whole.done.finish, Finish::Length);
  EXPECT_EQ(request.prompt.size() + whole.tokens.size(), 64u);
  EXPECT_EQ(answer(request, 128).events, whole.events);
  request.limits.room = 0;
  EXPECT_EQ(answer(request, 64).events, whole.events);
  // A context that is too small is told of when there is no room for more, and not before.
  request.limits.room = 128;
  for (const std::size_t known : {std::size_t{0}, std::size_t{20}, 64 - request.prompt.size()}) {
    request.said.tokens.assign(whole.tokens.begin(), whole.tokens.begin() + static_cast<std::ptrdiff_t>(known));
    const Told cut = answer(request, 64);
    EXPECT_EQ(cut.tokens, whole.tokens);
    ASSERT_EQ(cut.done.finish, Finish::Failed);
    EXPECT_EQ(cut.done.error->kind(), base::ErrorKind::TooLong);
  }
  request.said = {};
  request.limits.max_tokens = 20;
  EXPECT_EQ(answer(request, 64).done.finish, Finish::Length);
  // Nor is a thought closed by half.
  Request thinks = chat();
  thinks.limits.room = context;
  thinks.limits.thinking_budget = 0;
  const auto size = static_cast<std::uint32_t>(thinks.prompt.size() + 1);
  const Told half = answer(thinks, size);
  EXPECT_EQ(half.done.finish, Finish::Failed);
  EXPECT_EQ(half.tokens.size(), 1u) << "it was opened";
}

TEST_F(Resumed, WhatCannotHaveBeenSaidIsRefused) {
  const auto refused_as = [&](const Request& request) {
    try {
      check_request(request, loaded_.tokenizer(), 64);
    } catch (const base::Error& error) {
      return std::optional(error.kind());
    }
    return std::optional<base::ErrorKind>();
  };
  Request request = plain();
  EXPECT_EQ(refused_as(request), std::nullopt);
  request.said.tokens.assign(64 - request.prompt.size(), 5);
  EXPECT_EQ(refused_as(request), std::nullopt) << "it is full";
  request.limits.room = 63;
  EXPECT_EQ(refused_as(request), base::ErrorKind::TooLong);
  request.limits.room = 1000;
  request.said.tokens.push_back(5);
  EXPECT_EQ(refused_as(request), base::ErrorKind::TooLong);
  request.said.tokens = {-1};
  EXPECT_EQ(refused_as(request), base::ErrorKind::Input);
  request.said.tokens = {5};
  for (const double time : {-1.0, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
    request.said.generate_seconds = time;
    EXPECT_EQ(refused_as(request), base::ErrorKind::Input);
  }
}

// A whole engine ends in the middle, and another one goes on, after which the next turn takes the transcript as ever.
TEST_F(Resumed, AnotherEngineGoesOn) {
  const auto make = [](std::uint32_t positions) {
    return std::make_unique<Engine>(
        gguf::File::open(demo_model()),
        Options{.device = compute::DeviceKind::Cpu, .threads = 2, .context = positions, .exact = true});
  };
  Request request = plain(300);
  const Told whole = answer(request);
  auto engine = make(context);
  request.limits.room = engine->context();
  const auto begun = engine->start(request);
  for (Journal::Place place; begun->journal().said().tokens.empty(); place = begun->journal().read(place).next) {
    begun->journal().wait_for_more(place, std::chrono::seconds(1));
  }
  engine.reset();
  request.said = begun->journal().said();
  EXPECT_GT(request.said.tokens.size(), 0u);
  engine = make(2 * context);
  const auto resumed = engine->start(request);
  const Done done = resumed->journal().wait_for_end();
  const Told told = told_by(*resumed);
  EXPECT_EQ(told.events, whole.events);
  EXPECT_EQ(told.tokens, whole.tokens);
  EXPECT_EQ(done.finish, whole.done.finish);
  EXPECT_EQ(resumed->take_transcript()->size(), request.prompt.size() + whole.tokens.size());
  // Of one that is late is left what was said.
  request.limits.deadline = 1e-9;
  const auto late = engine->start(request);
  EXPECT_EQ(late->journal().wait_for_end().finish, Finish::Length);
  EXPECT_EQ(late->journal().said().tokens, request.said.tokens);
}

TEST_F(Resumed, AFingerprintTellsWhatAnswersDependOn) {
  const auto print = [](const std::filesystem::path& model, std::uint32_t positions = 0, int threads = 1) {
    const LoadedModel loaded(gguf::File::open(model), compute::DeviceKind::Cpu, threads, positions);
    return fingerprint_of(loaded, Precision::Exact, quant::Type::F16);
  };
  const Fingerprint demo = print(demo_model());
  EXPECT_EQ(demo.tokenizer.size(), 32u);
  EXPECT_EQ(demo.whole.size(), 32u);
  EXPECT_EQ(print(demo_model(), 256, 2), demo);
  EXPECT_NE(fingerprint_of(loaded_, Precision::Exact, quant::Type::F32).whole, demo.whole);
  EXPECT_NE(fingerprint_of(loaded_, Precision::Fast, quant::Type::F16).whole, demo.whole);
  const Fingerprint stretched = print(demo_model(), loaded_.config().context + 1);
  EXPECT_EQ(stretched.tokenizer, demo.tokenizer);
  EXPECT_NE(stretched.whole, demo.whole);

  const auto changed = [&](std::size_t byte) {
    const auto path = std::filesystem::path(testing::TempDir()) / ("changed-" + std::to_string(getpid()) + ".gguf");
    std::filesystem::copy_file(demo_model(), path, std::filesystem::copy_options::overwrite_existing);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(byte));
    const auto was = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(byte));
    file.put(static_cast<char>(was ^ 1));
    file.close();
    const Fingerprint found = print(path);
    std::filesystem::remove(path);
    return found;
  };
  const gguf::File& file = loaded_.file();
  const auto place = [&](const auto* bytes) {
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(bytes) - file.mapping().bytes().data());
  };
  const Fingerprint weight = changed(place(file.tensor("output_norm.weight")->room.data()));
  EXPECT_EQ(weight.tokenizer, demo.tokenizer);
  EXPECT_NE(weight.whole, demo.whole);
  const Fingerprint name = changed(place(file.string("general.name").data()));
  EXPECT_EQ(name.tokenizer, demo.tokenizer);
  EXPECT_NE(name.whole, demo.whole);
  const Fingerprint chat_template = changed(place(file.string("tokenizer.chat_template").data()));
  EXPECT_EQ(chat_template.tokenizer, demo.tokenizer);
  EXPECT_NE(chat_template.whole, demo.whole);
  const Fingerprint words = changed(place(file.string("tokenizer.ggml.pre").data() - 8 - 4 - 1));  // its key's last
  EXPECT_NE(words.tokenizer, demo.tokenizer);
}

}  // namespace
}  // namespace engine
