// Reading lines from a person at a terminal: editing, history that outlives the program, Ctrl-C that clears the line.
#pragma once

#include <memory>
#include <string>

namespace cli {

struct TypedLine {
  enum class Kind { Text, Interrupted, End };
  Kind kind;
  std::string text;  // without the line break; of Interrupted, what was typed before
};

class LineEditor {
 public:
  // Keeps its history in $XDG_STATE_HOME/smollm3/history (or ~/.local/state/smollm3/history), for the user's eyes only.
  LineEditor();
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  TypedLine read(const std::string& prompt);
  void remember(const std::string& line);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cli
