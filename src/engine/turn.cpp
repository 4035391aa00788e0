#include "engine/turn.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "engine/splice.h"

namespace engine {
namespace {

using nlohmann::ordered_json;

bool brings_system_prompt(const ordered_json& messages) {
  if (!messages.is_array() || messages.empty() || !messages.front().is_object()) return false;
  const auto role = messages.front().find("role");
  return role != messages.front().end() && (*role == "system" || *role == "developer");
}

bool needs_system_prompt(const smollm3::ChatInput& input, const std::string& system) {
  return !system.empty() && input.messages.is_array() && !brings_system_prompt(input.messages);
}

smollm3::ChatInput with_system_prompt(smollm3::ChatInput input, const std::string& system) {
  if (!needs_system_prompt(input, system)) return input;
  const ordered_json message = {{"role", "system"}, {"content", system}};
  input.messages.insert(input.messages.begin(), message);
  return input;
}

// How many of a prompt's first tokens say nothing of who asks: those that are also of a conversation of the server's
// system prompt and an empty message.
std::size_t shared_tokens(std::string_view text, const std::vector<Token>& tokens, const smollm3::ChatInput& input,
                          const std::string& system, const smollm3::ChatTemplate& chat_template,
                          const smollm3::Tokenizer& tokenizer) {
  smollm3::ChatInput empty;
  empty.messages = {{{"role", "user"}, {"content", ""}}};
  empty.enable_thinking = input.enable_thinking;
  empty.date = input.date;
  const std::string shared = chat_template.render(with_system_prompt(std::move(empty), system)).text();
  std::size_t left = static_cast<std::size_t>(std::ranges::mismatch(shared, text).in1 - shared.begin());
  std::size_t count = 0;
  for (const Token token : tokens) {
    const std::size_t bytes = tokenizer.bytes(token).size();
    if (bytes > left) break;
    left -= bytes;
    ++count;
  }
  return count;
}

}  // namespace

Request prepare(const Turn& turn, const std::string& system, const smollm3::ChatTemplate& chat_template,
                const smollm3::Tokenizer& tokenizer) {
  std::optional<smollm3::ChatInput> longer;
  if (needs_system_prompt(turn.input, system)) longer = with_system_prompt(turn.input, system);
  const smollm3::ChatInput& input = longer ? *longer : turn.input;
  const smollm3::Prompt prompt = chat_template.render(input);
  std::vector<smollm3::Fragment> fragments;
  fragments.reserve(prompt.fragments.size());
  for (const auto& fragment : prompt.fragments) fragments.push_back({fragment.text, fragment.from_template});
  Request request{.prompt = tokenizer.encode(fragments),
                  .sampling = turn.sampling,
                  .limits = turn.limits,
                  .chat = prompt.start,
                  .tools_offered = !input.tools.is_null() || !input.python_tools.is_null(),
                  .asker = turn.asker};
  // Only accounts have something to hide from each other.
  if (!turn.asker.account.empty()) {
    request.shared = shared_tokens(prompt.text(), request.prompt, input, system, chat_template, tokenizer);
  }
  if (turn.before) {
    const Transcript spliced = splice(*turn.before, request.prompt, tokenizer);
    request.prompt.assign(spliced.tokens().begin(), spliced.tokens().end());
    request.generated.assign(spliced.generated().begin(), spliced.generated().end());
  }
  return request;
}

}  // namespace engine
