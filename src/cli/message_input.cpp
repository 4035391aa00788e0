#include "cli/message_input.h"

#include <unistd.h>

#include <iostream>

#include "cli/output.h"

namespace cli {
namespace {

// libedit wants escape sequences between \1, and loses one that ends the prompt.
std::string prompt(const std::string& style, const std::string& sign) {
  return has_colour(STDOUT_FILENO) ? "\1\x1b[" + style + "m\1" + sign + "\1\x1b[0m\1 " : sign + " ";
}

std::optional<std::string> piped() {
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace

std::optional<std::string> MessageInput::next() {
  std::string message;
  for (;;) {
    const std::optional<std::string> line = editor_ ? typed(message.empty()) : piped();
    if (!line) return message.empty() ? std::nullopt : std::optional(message);
    if (given_up_) {
      message.clear();
      continue;
    }
    if (!line->ends_with('\\')) return message + *line;
    message += line->substr(0, line->size() - 1) + "\n";
  }
}

std::optional<std::string> MessageInput::typed(bool first) {
  const TypedLine line = editor_->read(first ? prompt("1", ">") : prompt("2", "…"));
  given_up_ = line.kind == TypedLine::Kind::Interrupted;
  if (line.kind == TypedLine::Kind::End) {
    write_error("\n");
    return std::nullopt;
  }
  if (given_up_) {
    const bool nothing_typed = first && line.text.empty();
    if (nothing_typed && ++empty_interrupts_ == 2) return std::nullopt;
    if (nothing_typed) write_error(dim(STDERR_FILENO, "Ctrl-C again, or Ctrl-D, leaves.") + "\n");
    return "";
  }
  empty_interrupts_ = 0;
  if (line.text.find_first_not_of(' ') != std::string::npos) editor_->remember(line.text);
  return line.text;
}

}  // namespace cli
