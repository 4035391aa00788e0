// An answer as it comes: the answer itself on standard output, thinking dimmed where a person watches.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/journal.h"

namespace cli {

class Display {
 public:
  // Thinking goes to a terminal's descriptor, or nowhere: no_thinking. `silent` shows nothing and only collects.
  static constexpr int no_thinking = -1;
  explicit Display(int thinking_descriptor, bool silent = false);

  void show(const engine::What& event);
  // How far a prompt is that takes long, on a terminal's standard error, until the first word takes its place.
  void show_progress(const engine::Progress& progress);
  // Ends the last line, if it is not.
  void end();

  const std::string& answer() const { return answer_; }  // with tool calls as written
  const std::string& thinking() const { return thinking_; }
  const nlohmann::ordered_json& tool_calls() const { return tool_calls_; }

 private:
  void show_answer(const std::string& piece);
  void show_thinking(const std::string& piece);
  void end_thinking();
  void clear_progress();
  void write_thinking(const std::string& text);

  int thinking_descriptor_;
  bool silent_;
  bool terminal_;  // standard output is one
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  bool progress_shown_ = false;
  bool thinking_shown_ = false;  // and not yet followed by the answer
  std::string answer_;
  std::string thinking_;
  nlohmann::ordered_json tool_calls_ = nlohmann::ordered_json::array();
};

}  // namespace cli
