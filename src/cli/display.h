// An answer as it comes: the answer itself on standard output, thinking dimmed where a person watches.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "smollm3/chat_output.h"

namespace cli {

class Display {
 public:
  // Thinking goes to a terminal's descriptor, or nowhere: no_thinking. `silent` shows nothing and only collects.
  static constexpr int no_thinking = -1;
  explicit Display(int thinking_descriptor, bool silent = false);

  void show(const smollm3::OutputEvent& event);
  void show_answer(const std::string& piece);
  // Ends the last line, if it is not.
  void end();

  const std::string& answer() const { return answer_; }  // with tool calls as written
  const std::string& thinking() const { return thinking_; }
  const nlohmann::ordered_json& tool_calls() const { return tool_calls_; }

 private:
  void show_thinking(const std::string& piece);
  void end_thinking();
  void write_thinking(const std::string& text);

  int thinking_descriptor_;
  bool silent_;
  bool terminal_;                // standard output is one
  bool thinking_shown_ = false;  // and not yet followed by the answer
  std::string answer_;
  std::string thinking_;
  nlohmann::ordered_json tool_calls_ = nlohmann::ordered_json::array();
};

}  // namespace cli
