#include "server/titles.h"

#include <array>

#include "base/utf8.h"
#include "server/http_text.h"

namespace server {
namespace {

constexpr std::size_t most_bytes = 60;       // of a message's beginning
constexpr std::size_t most_characters = 80;  // what is longer is no title
constexpr std::size_t most_shown = 700;      // bytes of each message that the model is shown

std::string beginning_of(std::string_view text) {
  const std::string_view shown = text.substr(0, base::utf8::cut(text, most_shown));
  return std::string(shown) + (shown.size() < text.size() ? "…" : "");
}

// Takes what is around a text off it. False if it is not.
bool unwrap(std::string_view& text, std::string_view before, std::string_view after) {
  if (text.size() <= before.size() + after.size() || !text.starts_with(before) || !text.ends_with(after)) return false;
  text = text.substr(before.size(), text.size() - before.size() - after.size());
  text = trimmed(text);
  return true;
}

}  // namespace

std::string title_of(std::string_view message) {
  const std::string_view line = message.substr(0, message.find('\n'));
  std::string title(line.substr(0, base::utf8::cut(line, most_bytes)));
  return title.size() < message.size() ? title + "…" : title;
}

std::string title_request(std::string_view question, std::string_view answer) {
  return "Write a title of two to six words for this conversation, in its language. Answer with the title alone.\n\n"
         "User: " +
         beginning_of(question) + "\n\nAssistant: " + beginning_of(answer);
}

std::optional<std::string> title_from(std::string_view written) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> wraps = {{{"\"", "\""},
                                                                                           {"“", "”"},
                                                                                           {"«", "»"},
                                                                                           {"„", "“"},
                                                                                           {"**", "**"},
                                                                                           {"#", ""},
                                                                                           {"**Title:**", ""},
                                                                                           {"Title:", ""},
                                                                                           {"title:", ""},
                                                                                           {"", "."}}};
  std::string_view title = trimmed(written);
  title = trimmed(title.substr(0, title.find('\n')));
  for (bool changed = true; changed;) {
    changed = false;
    for (const auto& [before, after] : wraps) changed = unwrap(title, before, after) || changed;
  }
  const bool says_something = title.find_first_not_of("*#\"'.-_ `") != std::string_view::npos;
  if (!says_something || base::utf8::count(title) > most_characters) return std::nullopt;
  return std::string(title);
}

}  // namespace server
