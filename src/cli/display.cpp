#include "cli/display.h"

#include <unistd.h>

#include "cli/format.h"
#include "cli/output.h"

namespace cli {

using Kind = smollm3::OutputEvent::Kind;

Display::Display(int thinking_descriptor, bool silent)
    : thinking_descriptor_(thinking_descriptor), silent_(silent), terminal_(is_terminal(STDOUT_FILENO)) {}

void Display::show(const smollm3::OutputEvent& event) {
  switch (event.kind) {
    case Kind::Thinking:
      show_thinking(event.text);
      break;
    case Kind::Answer:
      show_answer(event.text);
      break;
    case Kind::ToolCall:
      tool_calls_.push_back({{"name", event.call.name}, {"arguments", event.call.arguments}});
      show_answer(event.call.raw);
      break;
  }
}

void Display::show_answer(const std::string& piece) {
  if (piece.empty()) return;
  answer_ += piece;
  if (silent_) return;
  end_thinking();
  standard_output().write(terminal_ ? printable(piece) : piece);
  standard_output().flush();
}

void Display::end() {
  if (silent_) return;
  end_thinking();
  if (!answer_.ends_with('\n')) standard_output().write("\n");
  standard_output().flush();
}

void Display::show_thinking(const std::string& piece) {
  thinking_ += piece;
  if (silent_ || thinking_descriptor_ == no_thinking) return;
  if (!thinking_shown_ && !has_colour(thinking_descriptor_)) write_thinking("(thinking) ");
  thinking_shown_ = true;
  write_thinking(dim(thinking_descriptor_, printable(piece)));
}

void Display::end_thinking() {
  if (!thinking_shown_) return;
  thinking_shown_ = false;
  write_thinking("\n\n");
}

void Display::write_thinking(const std::string& text) {
  if (thinking_descriptor_ == STDERR_FILENO) return write_error(text);
  standard_output().write(text);
  standard_output().flush();
}

}  // namespace cli
