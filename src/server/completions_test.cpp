// POST /v1/chat/completions as its clients see it.
#include "server/completions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/fake_exchange.h"
#include "server/test_models.h"

namespace server {
namespace {

using nlohmann::json;
using testing::EndsWith;
using testing::HasSubstr;

json question(const std::string& text) {
  return {{"messages", {{{"role", "user"}, {"content", text}}}}, {"temperature", 0}, {"max_tokens", 300}};
}

Site::Asked ask(Site& site, const json& request) { return site.post("/v1/chat/completions", request.dump()); }

json error_of(const Site::Asked& asked) { return json::parse(asked->response->body).at("error"); }

class Completions : public testing::Test {
 protected:
  Site site{[] { return make_engine(demo_model(), 1024); }};
};

class CompletionsForEver : public testing::Test {
 protected:
  Site site{[] { return make_engine(endless_model(), 8192, /*most_waiting=*/3); }};

  static json endless() {
    json request = question("Go on");
    request.erase("max_tokens");
    return request;
  }
  // Takes seconds to read.
  static json book() {
    std::string text;
    for (int i = 0; i < 3000; ++i) text += std::to_string(i % 10) + "+";
    json request = question(text);
    request.erase("max_tokens");
    return request;
  }
};

// The id of a stream's answer, once it has one.
std::string id_of(Site& site, const Site::Asked& stream) {
  site.until([&] { return stream->pieces > 0; });
  const std::size_t begin = stream->sent.find("chatcmpl-");
  return stream->sent.substr(begin, stream->sent.find('"', begin) - begin);
}

TEST_F(CompletionsForEver, CanBePausedResumedAndToldToAnswer) {
  json request = endless();
  request["stream"] = true;
  const auto stream = ask(site, request);
  const std::string path = "/v1/chat/completions/" + id_of(site, stream);
  const auto paused = site.post(path + "/pause", "");
  EXPECT_EQ(paused->response->status, 202u) << paused->response->body;
  site.until([&] { return site.engines.load().paused == 1; });
  const std::size_t heard = stream->sent.size();
  EXPECT_EQ(site.post(path + "/resume", "")->response->status, 202u);
  site.until([&] { return stream->sent.size() > heard + 1000; });
  EXPECT_EQ(site.post(path + "/finish_thinking", "")->response->status, 202u);
  site.until([&] { return stream->sent.find("\"content\":\"", 400) != std::string::npos; });
  EXPECT_EQ(site.post(path + "/explode", "")->response->status, 404u);
  EXPECT_EQ(site.get(path + "/pause")->response->status, 405u);
  EXPECT_EQ(site.post("/v1/chat/completions/chatcmpl-0/pause", "")->response->status, 404u);
  stream->leave();
  site.until_over(stream);
  site.until_idle();
  EXPECT_EQ(site.post(path + "/pause", "")->response->status, 404u) << "it is over";
}

TEST_F(CompletionsForEver, AClientThatLeavesEndsWhatItPaused) {
  json request = endless();
  request["stream"] = true;
  const auto stream = ask(site, request);
  site.post("/v1/chat/completions/" + id_of(site, stream) + "/pause", "");
  site.until([&] { return site.engines.load().paused == 1; });
  stream->leave();
  site.until([&] { return site.engines.load().paused == 0; });
}

TEST_F(CompletionsForEver, EndByTheirDeadline) {
  json request = endless();
  Site::Asked asked;
  for (const double deadline : {0.4, 4.0, 40.0}) {  // until a busy machine begins it by then
    request["deadline_seconds"] = deadline;
    asked = ask(site, request);
    site.until_over(asked);
    if (asked->response->status == 200) break;
  }
  ASSERT_EQ(asked->response->status, 200u) << asked->response->body;
  EXPECT_EQ(json::parse(asked->response->body).at("choices").at(0).at("finish_reason"), "length");
  request["deadline_seconds"] = -1;
  EXPECT_EQ(error_of(ask(site, request)).at("param"), "deadline_seconds");
}

TEST_F(Completions, AreKnownAgainUnderTheSameSaltAlone) {
  const auto cached = [&](const char* salt) {
    json request = question("What is 12 + 34? Take your time, and think about each of the digits of the two numbers.");
    request["max_tokens"] = 2;
    if (salt != nullptr) request["cache_salt"] = salt;
    const auto asked = ask(site, request);
    site.until_over(asked);
    return json::parse(asked->response->body).at("usage").at("prompt_tokens_details").at("cached_tokens").get<int>();
  };
  cached("a");
  EXPECT_GT(cached("a"), 20);
  EXPECT_LT(cached("b"), cached("a"));
  EXPECT_LT(cached(nullptr), cached("a"));
}

TEST_F(Completions, AnswerWhole) {
  const auto asked = ask(site, question("What is 12 + 34?"));
  site.until_over(asked);
  ASSERT_EQ(asked->response->status, 200u) << asked->response->body;
  const json answer = json::parse(asked->response->body);
  const json& choice = answer.at("choices").at(0);
  EXPECT_THAT(choice.at("message").at("content").get<std::string>(), HasSubstr("46"));
  EXPECT_FALSE(choice.at("message").at("reasoning_content").get<std::string>().empty());
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_GT(answer.at("usage").at("completion_tokens"), 5);
  EXPECT_GT(answer.at("timings").at("generate_seconds"), 0);
}

TEST_F(Completions, AStreamSaysTheSame) {
  json request = question("What is 12 + 34?");
  const auto whole = ask(site, request);
  site.until_over(whole);
  request["stream"] = true;
  request["stream_options"] = {{"include_usage", true}};
  const auto streamed = ask(site, request);
  site.until_over(streamed);
  EXPECT_THAT(streamed->sent, EndsWith("data: [DONE]\n\n"));
  std::string content, thinking;
  std::vector<json> chunks;
  for (std::size_t begin = 0, end; (end = streamed->sent.find("\n\n", begin)) != std::string::npos; begin = end + 2) {
    const std::string data = streamed->sent.substr(begin + 6, end - begin - 6);
    if (data != "[DONE]") chunks.push_back(json::parse(data));
  }
  for (const json& chunk : chunks) {
    if (chunk.at("choices").empty()) continue;
    const json& delta = chunk.at("choices").at(0).at("delta");
    content += delta.value("content", "");
    thinking += delta.value("reasoning_content", "");
  }
  const json message = json::parse(whole->response->body).at("choices").at(0).at("message");
  EXPECT_EQ(content, message.at("content"));
  EXPECT_EQ(thinking, message.at("reasoning_content"));
  EXPECT_EQ(chunks.back().at("usage").at("completion_tokens"),
            json::parse(whole->response->body).at("usage").at("completion_tokens"));
}

TEST_F(Completions, EndForTheReasonTheyGive) {
  json request = question("What is 12 + 34?");
  request["max_tokens"] = 3;
  const auto cut = ask(site, request);
  site.until_over(cut);
  EXPECT_EQ(json::parse(cut->response->body).at("choices").at(0).at("finish_reason"), "length");
}

TEST_F(Completions, AreRefusedBeforeTheStreamBegins) {
  for (const bool stream : {false, true}) {
    json too_long = question([] {
      std::string book;
      for (int i = 0; i < 2000; ++i) book += "word ";
      return book;
    }());
    too_long["stream"] = stream;
    const auto asked = ask(site, too_long);
    site.until_over(asked);
    EXPECT_FALSE(asked->streaming);
    EXPECT_EQ(asked->response->status, 400u);
    EXPECT_EQ(error_of(asked).at("code"), "context_length_exceeded");
    EXPECT_EQ(error_of(asked).at("param"), "messages");

    json wrong = question("hi");
    wrong["messages"][0]["role"] = "narrator";
    wrong["stream"] = stream;
    const auto refused = ask(site, wrong);
    site.until_over(refused);
    EXPECT_FALSE(refused->streaming);
    EXPECT_EQ(refused->response->status, 400u);
    EXPECT_EQ(error_of(refused).at("type"), "invalid_request_error");
  }
}

TEST_F(CompletionsForEver, AClientThatLeavesEndsItsAnswer) {
  for (const bool stream : {false, true}) {
    json request = endless();
    request["stream"] = stream;
    const auto asked = ask(site, request);
    site.until([&] { return site.engines.load().running == 1 && (!stream || asked->pieces > 2); });
    asked->leave();
    site.until([&] { return asked->over; });
    site.until_idle();
  }
}

TEST_F(CompletionsForEver, AClientThatLeavesWhileItsPromptIsReadEndsIt) {
  for (const bool stream : {false, true}) {
    json request = book();
    request["stream"] = stream;
    const auto asked = ask(site, request);
    site.until([&] { return site.engines.load().running == 1; });
    asked->leave();
    site.until([&] { return asked->over; });
    site.until_idle();
  }
}

TEST_F(CompletionsForEver, TooManyAreRefusedWithATimeToComeAgain) {
  // The first takes so much room that the next have to wait, and three may.
  std::string text;
  for (int i = 0; i < 2500; ++i) text += std::to_string(i % 10) + "+";
  json large = question(text);
  large.erase("max_tokens");
  std::vector<Site::Asked> asked;
  Site::Asked refused;
  for (int i = 0; i < 10 && !refused; ++i) {
    asked.push_back(ask(site, large));
    site.until([&] {
      const engine::Load load = site.engines.load();
      return asked.back()->over || load.running + load.waiting == asked.size();
    });
    if (asked.back()->over) refused = asked.back();
  }
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->response->status, 503u);
  EXPECT_EQ(error_of(refused).at("code"), "overloaded");
  EXPECT_GT(std::stoi(refused->header("Retry-After")), 0);
  for (const Site::Asked& one : asked) one->leave();
  site.until_idle();
}

TEST_F(CompletionsForEver, TheServersEndIsToldToClients) {
  json request = endless();
  const auto whole = ask(site, request);
  request["stream"] = true;
  const auto streamed = ask(site, request);
  site.until([&] { return streamed->pieces > 2; });
  site.engines.stop();
  site.until_over(whole);
  site.until_over(streamed);
  EXPECT_EQ(whole->response->status, 503u);
  EXPECT_EQ(error_of(whole).at("code"), "shutting_down");
  EXPECT_THAT(streamed->sent, HasSubstr("shutting_down"));
  const auto late = ask(site, request);
  site.until_over(late);
  EXPECT_EQ(late->response->status, 503u);
}

}  // namespace
}  // namespace server
