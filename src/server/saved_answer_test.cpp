#include "server/saved_answer.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace server {
namespace {

TEST(SavedAnswers, ARequestComesBackAsItWas) {
  std::mt19937_64 random(1);
  const auto number = [&] { return static_cast<float>(random() % 1'000'003) / 99'991.0f; };
  for (int i = 0; i < 200; ++i) {
    engine::Request request;
    for (std::uint64_t n = random() % 200; n > 0; --n)
      request.prompt.push_back(static_cast<engine::Token>(random() % 128'256));
    for (std::size_t n = 0; n * 64 < request.prompt.size(); ++n) request.generated.push_back(random());
    request.sampling = {.temperature = number(),
                        .top_k = static_cast<std::uint32_t>(random()),
                        .top_p = number(),
                        .min_p = number(),
                        .repetition_penalty = number(),
                        .presence_penalty = -number(),
                        .frequency_penalty = number(),
                        .logit_bias = {{5, number()}, {128'255, -number()}},
                        .seed = i == 0 ? std::numeric_limits<std::uint64_t>::max() : random()};
    request.limits = {.max_tokens = static_cast<std::uint32_t>(random()),
                      .stop = {"a\"b", "\n\n", "ü\xFF"},
                      .room = static_cast<std::uint32_t>(random())};
    if (random() % 2 == 0) request.limits.thinking_budget = static_cast<std::uint32_t>(random());
    if (random() % 2 == 0) request.chat = static_cast<smollm3::StreamStart>(random() % 3);
    request.tools_offered = random() % 2 == 0;
    request.shared = random() % 100;
    const store::Unfinished unfinished{.settings = settings_of(request),
                                       .prompt = prompt_of(request),
                                       .said = {1, 2, 3},
                                       .writing_seconds = 2.5,
                                       .thinking_seconds = 0.25};
    const engine::Request back = request_from(unfinished);
    EXPECT_EQ(back.prompt, request.prompt);
    EXPECT_EQ(back.generated, request.generated);
    EXPECT_EQ(settings_of(back), settings_of(request));
    EXPECT_EQ(back.sampling.temperature, request.sampling.temperature);
    EXPECT_EQ(back.sampling.logit_bias, request.sampling.logit_bias);
    EXPECT_EQ(back.sampling.seed, request.sampling.seed);
    EXPECT_EQ(back.limits.thinking_budget, request.limits.thinking_budget);
    EXPECT_EQ(back.limits.room, request.limits.room);
    EXPECT_EQ(back.chat, request.chat);
    EXPECT_EQ(back.said.tokens, unfinished.said);
    EXPECT_EQ(back.said.generate_seconds, 2.5);
  }
}

TEST(SavedAnswers, AnEndComesBackAsItWas) {
  for (const engine::Finish finish : {engine::Finish::Stop, engine::Finish::Length, engine::Finish::ToolCalls,
                                      engine::Finish::Cancelled, engine::Finish::Failed}) {
    engine::Done done{.finish = finish, .usage = {.prompt_tokens = 1, .cached_tokens = 2, .generated_tokens = 3}};
    done.usage.generate_seconds = 1.0 / 3;
    if (finish == engine::Finish::Failed) done.error.emplace(base::ErrorKind::TooLong, "what \"x\"", "why", "do");
    const engine::Done back = done_from(to_json(done));
    EXPECT_EQ(back.finish, finish);
    EXPECT_EQ(back.usage.generated_tokens, 3u);
    EXPECT_EQ(back.usage.generate_seconds, done.usage.generate_seconds);
    ASSERT_EQ(back.error.has_value(), done.error.has_value());
    if (!back.error) continue;
    EXPECT_EQ(back.error->kind(), base::ErrorKind::TooLong);
    EXPECT_STREQ(back.error->what(), done.error->what());
  }
}

TEST(SavedAnswers, WhatNobodyHasWrittenIsRefused) {
  for (const char* text : {"", "[]", "{", "{}", R"({"finish":"x","usage":{}})", R"({"finish":1,"usage":{}})"}) {
    EXPECT_THROW(done_from(text), base::Error) << text;
  }
  EXPECT_THROW(request_from({.settings = R"({"seed":"x"})"}), base::Error);
  EXPECT_TRUE(asked_from("{}").think) << "what an older version did not write is left at its default";
}

TEST(SavedAnswers, AreOpenInterruptedOrWhole) {
  store::Message message{.condition = store::Condition::Open, .thinking = "Hm", .text = "So"};
  EXPECT_TRUE(answer_from(message).open());
  EXPECT_EQ(answer_from(message).text, "So");
  message.condition = store::Condition::Interrupted;
  EXPECT_FALSE(answer_from(message).open());
  EXPECT_TRUE(answer_from(message).interrupted);
  message.condition = store::Condition::Whole;
  message.ended = to_json(engine::Done{});
  EXPECT_FALSE(answer_from(message).open());
  EXPECT_FALSE(answer_from(message).interrupted);
}

}  // namespace
}  // namespace server
