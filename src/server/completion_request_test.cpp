#include "server/completion_request.h"

#include <gtest/gtest.h>

#include "server/api_error.h"

namespace server {
namespace {

CompletionRequest parse(const std::string& fields) {
  return parse_completion_request(R"({"messages": [{"role": "user", "content": "hi"}])" +
                                  (fields.empty() ? "" : ", " + fields) + "}");
}

ApiError error_of(const std::string& body) {
  try {
    parse_completion_request(body);
  } catch (const ApiError& error) {
    return error;
  }
  return {0, "no error"};
}

std::string param_of(const std::string& fields) {
  return error_of(R"({"messages": [{"role": "user", "content": "hi"}], )" + fields + "}").param;
}

TEST(CompletionRequest, HasTheAuthorsDefaults) {
  const CompletionRequest request = parse("");
  EXPECT_FLOAT_EQ(request.turn.sampling.temperature, 0.6f);
  EXPECT_FLOAT_EQ(request.turn.sampling.top_p, 0.95f);
  EXPECT_TRUE(request.turn.input.enable_thinking);
  EXPECT_EQ(request.turn.limits.max_tokens, 0u);
  EXPECT_FALSE(request.stream);
  EXPECT_TRUE(request.turn.input.tools.is_null());
}

TEST(CompletionRequest, ReadsEveryField) {
  const CompletionRequest request = parse(
      R"("model": "any", "temperature": 0, "top_p": 0.5, "seed": -7, "stop": ["a", "b"], "max_completion_tokens": 9,
         "presence_penalty": 1, "frequency_penalty": -1, "logit_bias": {"17": -100}, "n": 1, "stream": true,
         "stream_options": {"include_usage": true}, "user": "x", "unheard_of": {"of": 1}, "logprobs": false,
         "response_format": {"type": "text"}, "parallel_tool_calls": true,
         "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "tool_choice": "auto")");
  EXPECT_EQ(request.turn.sampling.temperature, 0);
  EXPECT_EQ(request.turn.sampling.top_p, 0.5f);
  EXPECT_EQ(request.turn.sampling.seed, static_cast<std::uint64_t>(-7));
  EXPECT_EQ(request.turn.limits.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(request.turn.limits.max_tokens, 9u);
  EXPECT_EQ(request.turn.sampling.presence_penalty, 1);
  EXPECT_EQ(request.turn.sampling.frequency_penalty, -1);
  EXPECT_EQ(request.turn.sampling.logit_bias.at(17), -100);
  EXPECT_TRUE(request.stream && request.include_usage);
  EXPECT_EQ(request.turn.input.tools.size(), 1u);
  EXPECT_EQ(parse(R"("stop": "x")").turn.limits.stop, std::vector<std::string>{"x"});
}

TEST(CompletionRequest, NullIsAbsent) {
  const CompletionRequest request = parse(
      R"("temperature": null, "stop": null, "seed": null, "tools": null, "max_tokens": null, "stream": null, "logit_bias": null)");
  EXPECT_FLOAT_EQ(request.turn.sampling.temperature, 0.6f);
  EXPECT_TRUE(request.turn.limits.stop.empty());
}

TEST(CompletionRequest, SeedsDifferWithoutOne) {
  EXPECT_NE(parse("").turn.sampling.seed, parse("").turn.sampling.seed);
}

TEST(CompletionRequest, ThinkingHasTwoSwitches) {
  EXPECT_FALSE(parse(R"("reasoning_effort": "none")").turn.input.enable_thinking);
  EXPECT_TRUE(parse(R"("reasoning_effort": "high")").turn.input.enable_thinking);
  EXPECT_FALSE(parse(R"("chat_template_kwargs": {"enable_thinking": false})").turn.input.enable_thinking);
  EXPECT_TRUE(parse(R"("reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": true})")
                  .turn.input.enable_thinking);
}

TEST(CompletionRequest, ToolChoiceNoneHidesTheTools) {
  EXPECT_TRUE(parse(R"("tools": [{"function": {"name": "f"}}], "tool_choice": "none")").turn.input.tools.is_null());
}

TEST(CompletionRequest, TemplateVariablesCannotReplaceTheConversation) {
  const CompletionRequest request = parse(R"("chat_template_kwargs": {"messages": [], "xml_tools": [1], "custom": 5})");
  EXPECT_EQ(request.turn.input.extra.dump(), R"({"custom":5})");
}

TEST(CompletionRequest, NamesTheFieldThatIsWrong) {
  EXPECT_EQ(param_of(R"("temperature": "hot")"), "temperature");
  EXPECT_EQ(param_of(R"("temperature": 2.5)"), "temperature");
  EXPECT_EQ(param_of(R"("temperature": -1)"), "temperature");
  EXPECT_EQ(param_of(R"("top_p": 2)"), "top_p");
  EXPECT_EQ(param_of(R"("seed": 1.5)"), "seed");
  EXPECT_EQ(param_of(R"("stop": 5)"), "stop");
  EXPECT_EQ(param_of(R"("stop": [5])"), "stop");
  EXPECT_EQ(param_of(R"("max_tokens": 0)"), "max_tokens");
  EXPECT_EQ(param_of(R"("max_tokens": -3)"), "max_tokens");
  EXPECT_EQ(param_of(R"("max_tokens": 99999999999)"), "max_tokens");
  EXPECT_EQ(param_of(R"("max_tokens": "many")"), "max_tokens");
  EXPECT_EQ(param_of(R"("logit_bias": {"x": 1})"), "logit_bias");
  EXPECT_EQ(param_of(R"("logit_bias": {"5": 101})"), "logit_bias");
  EXPECT_EQ(param_of(R"("stream": "yes")"), "stream");
  EXPECT_EQ(param_of(R"("stream_options": true)"), "stream_options");
  EXPECT_EQ(param_of(R"("stream_options": {"include_usage": 1})"), "stream_options.include_usage");
  EXPECT_EQ(param_of(R"("n": 2)"), "n");
  EXPECT_EQ(param_of(R"("logprobs": true)"), "logprobs");
  EXPECT_EQ(param_of(R"("response_format": {"type": "json_object"})"), "response_format");
  EXPECT_EQ(param_of(R"("tool_choice": "required")"), "tool_choice");
  EXPECT_EQ(param_of(R"("tool_choice": {"type": "function"})"), "tool_choice");
  EXPECT_EQ(param_of(R"("tools": [{"type": "function"}])"), "tools[0]");
  EXPECT_EQ(param_of(R"("tools": {})"), "tools");
  EXPECT_EQ(param_of(R"("chat_template_kwargs": {"enable_thinking": "no"})"), "chat_template_kwargs.enable_thinking");
  EXPECT_EQ(param_of(R"("reasoning_effort": 1)"), "reasoning_effort");
  EXPECT_EQ(param_of(R"("model": 1)"), "model");
}

TEST(CompletionRequest, NamesTheMessageThatIsWrong) {
  EXPECT_EQ(error_of("{}").param, "messages");
  EXPECT_EQ(error_of(R"({"messages": []})").param, "messages");
  EXPECT_EQ(error_of(R"({"messages": "hi"})").param, "messages");
  EXPECT_EQ(error_of(R"({"messages": [{"role": "user", "content": "a"}, "b"]})").param, "messages[1]");
  EXPECT_EQ(error_of(R"({"messages": [{"content": "a"}]})").param, "messages[0].role");
  EXPECT_EQ(error_of(R"({"messages": [{"role": "user", "content": 5}]})").param, "messages[0].content");
}

TEST(CompletionRequest, RefusesWhatIsNoJson) {
  for (const char* body : {"", "{", "hello", "[]", "5", "null", "{\"messages\": [\"\xff\"]}"}) {
    const ApiError error = error_of(body);
    EXPECT_EQ(error.status, 400u) << body;
  }
  const std::string deep(100'000, '[');
  EXPECT_EQ(error_of(deep).code, "invalid_json");
  EXPECT_EQ(error_of("{\"messages\":" + deep + std::string(100'000, ']') + "}").code, "invalid_json");
}

TEST(ApiError, HasOpenAIsForm) {
  EXPECT_EQ(json_text(error_json({400, "bad", "stop", "invalid_value"})),
            R"({"error":{"message":"bad","type":"invalid_request_error","param":"stop","code":"invalid_value"}})");
  EXPECT_EQ(json_text(error_json({500, "\xff"})),
            "{\"error\":{\"message\":\"\xEF\xBF\xBD\",\"type\":\"server_error\",\"param\":null,\"code\":null}}");
}

}  // namespace
}  // namespace server
