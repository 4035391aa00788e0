// Messages from standard input: typed by a person, or lines of a pipe.
#pragma once

#include <optional>
#include <string>

#include "cli/line_editor.h"

namespace cli {

class MessageInput {
 public:
  explicit MessageInput(bool interactive) {
    if (interactive) editor_.emplace();
  }

  // The next message, its continued lines joined; nothing when there are no more.
  std::optional<std::string> next();

 private:
  std::optional<std::string> typed(bool first);

  std::optional<LineEditor> editor_;
  bool given_up_ = false;     // the last line was, by Ctrl-C
  int empty_interrupts_ = 0;  // Ctrl-C on an empty line, one after another
};

}  // namespace cli
