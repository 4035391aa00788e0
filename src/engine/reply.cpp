#include "engine/reply.h"

#include <algorithm>
#include <array>
#include <utility>

namespace engine {

using smollm3::OutputEvent;

Reply::Reply(const Request& request, const smollm3::Tokenizer& tokenizer, Journal& journal)
    : journal_(journal), decoder_(tokenizer), stop_(request.limits.stop), tools_offered_(request.tools_offered) {
  if (request.chat) parser_.emplace(*request.chat);
}

void Reply::take(Token token) { read(decoder_.push(token)); }

void Reply::finish() {
  read(decoder_.finish());
  if (parser_) write(parser_->finish());
  answer(stop_.finish());
}

void Reply::read(std::string_view text) {
  if (text.empty()) return;
  last_ = text.back();
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  if (end != std::string_view::npos) {
    std::size_t begin = end;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    last_character_ = text.substr(begin, end + 1 - begin);
  }
  if (parser_) {
    write(parser_->feed(text));
  } else {
    answer(stop_.push(text));
  }
}

void Reply::write(std::vector<OutputEvent> events) {
  for (OutputEvent& event : events) {
    if (stopped()) return;
    switch (event.kind) {
      case OutputEvent::Kind::Thinking:
        journal_.append(Thinking{std::move(event.text)});
        break;
      case OutputEvent::Kind::Answer:
        answer(stop_.push(event.text));
        break;
      case OutputEvent::Kind::ToolCall:
        if (!tools_offered_) {
          answer(stop_.push(event.call.raw));
          break;
        }
        called_tools_ = true;
        answer(stop_.finish());
        journal_.append(std::move(event.call));
        break;
    }
  }
}

void Reply::answer(std::string text) {
  if (!text.empty()) journal_.append(Answer{std::move(text)});
}

bool Reply::sentence_ended() const {
  static constexpr std::array<std::string_view, 7> ends = {".", "!", "?", "…", "。", "！", "？"};
  return line_ended() || std::ranges::find(ends, last_character_) != ends.end();
}

}  // namespace engine
