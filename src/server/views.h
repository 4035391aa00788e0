// What the browser is shown: pages and fragments of pages, rendered from the templates in web/templates.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "server/conversations.h"

namespace server {

// Facts about the program that pages mention.
struct ModelFacts {
  std::string name;
  std::string device;
  std::string mode;
  std::uint32_t context = 0;
};

std::string render_template(std::string_view name, const nlohmann::ordered_json& context);

// The whole page. `conversation` may have no rounds yet: then it greets.
std::string chat_page(const Conversation& conversation, const ModelFacts& facts);
// What is added to the page when a message was sent: the question, and the place of the answer.
std::string sent_fragment(const Conversation& conversation, const ModelFacts& facts);
std::string notice_fragment(std::string_view message, std::string_view link = {}, std::string_view link_text = {});
std::string error_page(unsigned status, std::string_view message);

// Longest message the composer takes, in characters.
inline constexpr std::size_t most_text = 200'000;

// What a page that follows an answer was shown of it so far.
class AnswerView {
 public:
  AnswerView(std::size_t round, const ModelFacts& facts) : round_(round), facts_(facts) {}

  // The fragment that brings the page up to date; empty if nothing changed.
  std::string update(const Round& round);
  // Whether the last update() closed the thinking.
  bool just_thought() const { return just_thought_; }

 private:
  std::size_t round_;
  const ModelFacts& facts_;
  std::size_t thinking_shown_ = 0;  // bytes
  bool thinking_open_ = false;
  bool thought_ = false;
  bool just_thought_ = false;
  bool over_ = false;
  std::string text_shown_;
  std::vector<std::string> blocks_;
  std::string status_ = "…";  // of the fragment that sent_fragment() made: three dots
};

}  // namespace server
