#include "server/answer.h"

#include <limits>

#include "server/api_error.h"

namespace server {

void Answer::add(const engine::Journal::Reading& reading) {
  for (const engine::Event& event : reading.events) {
    if (const auto* thought = std::get_if<engine::Thinking>(&event.what)) {
      thinking += thought->text;
    } else if (const auto* part = std::get_if<engine::Answer>(&event.what)) {
      text += part->text;
    } else if (const auto* call = std::get_if<smollm3::ToolCall>(&event.what)) {
      text += "\n```\n" + call->raw + "\n```\n";
    } else {
      done = std::get<engine::Done>(event.what);
    }
  }
  last_event = reading.next.event;
  progress = reading.progress;
}

std::string Answer::failure() const {
  if (!failed()) return {};
  return done->error ? told_to_client(*done->error).what() : "The answer failed.";
}

Answer answer_until(const engine::Journal& journal, std::uint64_t last) {
  Answer answer;
  answer.add(journal.read({}, last));
  return answer;
}

Answer answer_of(const engine::Journal& journal) {
  return answer_until(journal, std::numeric_limits<std::uint64_t>::max());
}

}  // namespace server
