// Random schedules: requests of several clients join, leave, are cancelled, paused and resumed, cut into slices,
// preempted and begun again, gone on with as after a restart of the process, go on from what others computed, and have
// their pages given back, at random instants of an invented clock. Whatever happens around it, an answer is, byte for
// byte, the one that is given alone and cold. The worker is driven step by step on this thread, so a seed gives the
// same schedule each time; SMOLLM3_SEED chooses another.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "engine/faulty_device.h"
#include "engine/loaded_model.h"
#include "engine/quantised_model.h"
#include "engine/worker.h"
#include "engine/worker_bench.h"

namespace engine {
namespace {

using compute::Precision;

constexpr std::uint32_t context = 448;  // positions of one conversation: 7 pages
constexpr std::uint32_t pool_positions = 15 * 64;

// How often each kind of event must occur. With sanitizers, which slow the arithmetic by ten and more, it is for memory
// and races alone.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int often = 10;
#else
constexpr int often = 100;
#endif

struct Told {
  std::string text;
  std::vector<Token> tokens;
  std::uint64_t last_number = 0;
  Done done;
};

Told told_by(const Generation& generation) {
  Told told;
  for (const Event& event : generation.journal().read({}).events) {
    told.last_number = event.number;
    if (const auto* answer = std::get_if<Answer>(&event.what)) told.text += answer->text;
    if (const auto* done = std::get_if<Done>(&event.what)) told.done = *done;
  }
  told.tokens = generation.journal().said().tokens;
  return told;
}

// Also one that goes on from what an earlier one said, with the tokens that it said it with.
Request random_request(std::mt19937_64& random, const std::vector<Request>& earlier,
                       const std::vector<std::shared_ptr<Generation>>& generations) {
  Request request{.prompt = random_tokens(1 + random() % (random() % 4 == 0 ? 300 : 60), random()),
                  .sampling = {.temperature = random() % 4 == 0 ? 0.0f : 5.0f, .top_p = 0.9f, .seed = random()},
                  .limits = {.max_tokens = 1 + static_cast<std::uint32_t>(random() % 60)},
                  .asker = {.client = std::string(1, static_cast<char>('a' + random() % 3)),
                            .account = random() % 4 == 0 ? "its own" : ""}};
  // Rather one whose pages are still there.
  const auto recent = [&] { return earlier.size() - 1 - random() % std::min<std::size_t>(earlier.size(), 6); };
  if (!earlier.empty() && random() % 3 == 0) {  // begins like another one
    const std::vector<Token>& other = earlier[recent()].prompt;
    const std::size_t shared = std::min<std::size_t>(other.size(), random() % 200);
    std::copy_n(other.begin(), std::min(shared, request.prompt.size()), request.prompt.begin());
  } else if (!earlier.empty() && random() % 2 == 0) {
    const auto said = generations[recent()]->take_transcript();
    if (said && said->size() + request.prompt.size() < context) {
      request.prompt.insert(request.prompt.begin(), said->tokens().begin(), said->tokens().end());
      request.generated.assign(said->generated().begin(), said->generated().end());
    }
  }
  return request;
}

class Schedules : public testing::Test {
 protected:
  void SetUp() override {
    const char* isa = std::getenv("SMOLLM3_CPU");
    if (isa != nullptr && std::string(isa) == "amx" && !compute::supported(compute::Isa::Amx)) {
      GTEST_SKIP() << "this processor cannot run AVX-512";
    }
    auto device = std::make_unique<FaultyDevice>(2);
    device_ = device.get();
    loaded_ = std::make_unique<LoadedModel>(gguf::File::open(file_.path()),
                                            compute::ChosenDevice{.device = std::move(device), .note = {}}, 0);
    prompts_ = compute::prompt_precision(loaded_->device(), /*exact=*/false);
  }

  Told alone(const Request& request) {
    Bench bench(*loaded_, prompts_, context, context, 1);
    const auto generation = bench.start(request);
    while (bench.worker().step()) {
    }
    return told_by(*generation);
  }

  reference::TemporaryModel file_{quantised_model(/*layers=*/4)};
  std::unique_ptr<LoadedModel> loaded_;
  FaultyDevice* device_ = nullptr;  // of the loaded model
  Precision prompts_ = Precision::Exact;
};

std::uint64_t given_seed() {
  const char* given = std::getenv("SMOLLM3_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

TEST_F(Schedules, OfAllKindsLeaveEveryAnswerAsItIsAlone) {
  const std::uint64_t seed = given_seed();
  SCOPED_TRACE("SMOLLM3_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  Bench bench(*loaded_, prompts_, context, pool_positions, seed);

  std::vector<Request> requests;
  std::vector<std::shared_ptr<Generation>> generations;
  // Of what happened to those that were queued, reading, writing, paused.
  using Happened = std::array<int, 4>;
  Happened cancelled{}, paused{}, resumed{};
  const auto some_are_in = [&](State state) -> Generation* {
    std::vector<Generation*> in;
    for (const auto& generation : generations) {
      if (generation->state() == state) in.push_back(generation.get());
    }
    return in.empty() ? nullptr : in[random() % in.size()];
  };
  const auto do_to_one = [&](Happened& happened, void (Generation::*what)()) {
    const std::size_t kind = random() % happened.size();
    if (Generation* one = some_are_in(static_cast<State>(kind))) {
      (one->*what)();
      ++happened[kind];
    }
  };
  int restarted = 0;
  // What one said so far is all that is left of it.
  const auto restart_one = [&] {
    std::vector<std::size_t> live;
    for (std::size_t i = 0; i < generations.size(); ++i) {
      const Generation& one = *generations[i];
      const bool goes_on = !one.journal().over() && !one.cancel_asked();
      if (goes_on && one.journal().progress().generated_tokens > 0) live.push_back(i);
    }
    if (live.empty()) return;
    const std::size_t i = live[random() % live.size()];
    Request request = requests[i];
    request.said = generations[i]->journal().said();
    generations[i]->cancel();
    generations[i] = bench.start(request);
    ++restarted;
  };
  const auto enough_of = [](const Happened& happened, std::size_t kinds) {
    return std::ranges::min(std::span(happened).first(kinds)) >= often;
  };
  const Counts& counts = bench.worker().counts();
  const bool fast = prompts_ == Precision::Fast;  // hours, emulated, until so many come together
  const PrefixCache& cache = bench.worker().cache();
  const auto followed_up = [&] {
    return std::ranges::count_if(requests, [](const Request& request) { return !request.generated.empty(); });
  };
  const auto enough = [&] {
    return counts.mixed_steps >= often && counts.sliced >= often && counts.layered >= often &&
           counts.preempted >= often && counts.begun >= 3 * often && counts.steps >= 10 * often &&
           enough_of(cancelled, 4) && enough_of(paused, 3) && resumed[3] >= often && counts.paused >= 3 * often &&
           restarted >= often && counts.overtaken >= (fast ? often / 5 : often) && cache.forked() >= often &&
           cache.evicted() >= often && followed_up() >= often;
  };
  const auto told = [&] {
    std::ostringstream out;
    const auto list = [&](const char* what, const Happened& happened) {
      out << ", " << what << ' ' << happened[0] << " queued, " << happened[1] << " reading, " << happened[2]
          << " writing, " << happened[3] << " paused";
    };
    out << requests.size() << " requests in " << counts.steps << " steps: " << counts.mixed_steps << " mixed, "
        << counts.sliced << " slices, " << counts.layered << " layered, " << counts.overtaken << " overtaken, "
        << counts.preempted << " preempted, " << cache.forked() << " forked, " << cache.evicted() << " evicted, "
        << followed_up() << " next turns";
    list("cancelled", cancelled);
    list("asked to pause", paused);
    out << " (" << counts.paused << " in effect)";
    list("resumed", resumed);
    out << ", " << restarted << " restarted";
    out << '\n';
    return out.str();
  };
  for (bool over = false; !over;) {
    const auto live = std::ranges::count_if(generations, [](const auto& one) { return !one->journal().over(); });
    if (!enough() && live < 14 && random() % 3 == 0) {
      requests.push_back(random_request(random, requests, generations));
      generations.push_back(bench.start(requests.back()));
    }
    if (enough()) {
      for (const auto& generation : generations) generation->resume();
    } else {
      if (random() % 8 == 0 && !enough_of(cancelled, 4)) do_to_one(cancelled, &Generation::cancel);
      if (random() % 4 == 0) do_to_one(paused, &Generation::pause);
      if (random() % 2 == 0) do_to_one(resumed, &Generation::resume);
      if (random() % 8 == 0 && restarted < often) restart_one();
    }
    const bool busy = bench.worker().step();
    bench.worker().check();
    over = !busy && enough();
    ASSERT_LT(requests.size(), 5000u) << "some kind of event does not come often enough: " << told();
  }
  std::cout << told();

  int whole = 0, warm = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Told got = told_by(*generations[i]);
    const bool was_cancelled = got.done.finish == Finish::Cancelled;
    if (was_cancelled && got.text.empty()) continue;
    const Told expected = alone(requests[i]);
    ASSERT_NE(got.done.finish, Finish::Failed) << got.done.error->what();
    if (was_cancelled) {
      while (got.text.ends_with("\uFFFD")) got.text.resize(got.text.size() - 3);  // half a character at its end
      ASSERT_TRUE(expected.text.starts_with(got.text)) << "request " << i << ": " << got.text;
      continue;
    }
    ++whole;
    warm += got.done.usage.cached_tokens > 0 ? 1 : 0;
    ASSERT_EQ(got.text, expected.text) << "request " << i;
    ASSERT_EQ(got.tokens, expected.tokens) << "request " << i;
    ASSERT_EQ(got.done.finish, expected.done.finish) << "request " << i;
    ASSERT_EQ(got.last_number, expected.last_number) << "request " << i;
  }
  EXPECT_GE(whole - warm, often) << "cold ones";
  EXPECT_GE(warm, often);
}

// Clients that come one after another, each with less behind it than the one who reads a long prompt, do not keep it
// from its end.
TEST_F(Schedules, OfNewcomersWithoutEndLetALongPromptBeRead) {
  Bench bench(*loaded_, prompts_, context, 40 * 64, 1);
  const auto request = [](std::size_t size, std::uint32_t generated, std::string client) {
    return Request{.prompt = random_tokens(size, size + client.size()),
                   .limits = {.max_tokens = generated},
                   .asker = {.client = std::move(client)}};
  };
  const auto writes = bench.start(request(5, 400, "writes"));
  while (writes->state() != State::Writing) bench.worker().step();
  const auto reads = bench.start(request(400, 1, "reads"));
  int newcomers = 0;
  while (!reads->journal().over()) {
    bench.start(request(60, 1, "newcomer " + std::to_string(++newcomers)));
    bench.worker().step();
    ASSERT_LT(newcomers, 1000);
  }
  EXPECT_NE(told_by(*reads).done.finish, Finish::Failed);
}

bool any_failed(const std::vector<Generation*>& generations) {
  return std::ranges::any_of(generations, [](const Generation* generation) {
    return generation->journal().over() && told_by(*generation).done.finish == Finish::Failed;
  });
}

// Whatever operation fails: those that it was for end as Failed, all others as if nothing had been, no page is lost,
// and what comes next is answered.
TEST_F(Schedules, WithADeviceThatFailsFailThoseAloneThatTheFailureConcerns) {
  const std::uint64_t seed = given_seed();
  SCOPED_TRACE("SMOLLM3_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::vector<Request> requests;
  std::vector<std::shared_ptr<Generation>> generations;
  {
    Bench bench(*loaded_, prompts_, context, pool_positions, seed);
    for (bool over = false; !over;) {
      const bool more = device_->failures() < 2 * often;
      if (more && random() % 3 == 0) {
        requests.push_back(random_request(random, requests, generations));
        generations.push_back(bench.start(requests.back()));
      }
      if (random() % 20 == 0 && !generations.empty()) generations[random() % generations.size()]->cancel();
      for (const auto& generation : generations) {
        if (generation->pause_asked() && (!more || random() % 4 == 0)) generation->resume();
      }
      if (more && random() % 8 == 0 && !generations.empty()) generations[random() % generations.size()]->pause();
      if (more && random() % 16 == 0) device_->fail_after(random() % 60);
      if (!more) device_->fail_no_more();
      std::vector<Generation*> writing, others;  // one operation is for those who write, or for those who read
      for (const auto& generation : generations) {
        if (!generation->journal().over()) {
          (generation->state() == State::Writing ? writing : others).push_back(generation.get());
        }
      }
      const bool busy = bench.worker().step();
      bench.worker().check();
      EXPECT_FALSE(any_failed(writing) && any_failed(others));
      over = !busy && !more;
      ASSERT_LT(requests.size(), 5000u);
    }
    requests.push_back(random_request(random, requests, generations));
    generations.push_back(bench.start(requests.back()));
    while (bench.worker().step()) {
    }
    EXPECT_NE(told_by(*generations.back()).done.finish, Finish::Failed);
  }

  int failed = 0, whole = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(generations[i]->journal().over()) << "request " << i;
    const Told got = told_by(*generations[i]);
    if (got.done.finish == Finish::Cancelled) continue;
    if (got.done.finish == Finish::Failed) {
      ++failed;
      EXPECT_EQ(got.done.error->kind(), base::ErrorKind::Internal);
      continue;
    }
    ++whole;
    ASSERT_EQ(got.text, alone(requests[i]).text) << "request " << i;
  }
  std::cout << requests.size() << " requests, " << failed << " failed, " << whole << " whole\n";
  EXPECT_GE(failed, often);
  EXPECT_GE(whole, often);
}

}  // namespace
}  // namespace engine
