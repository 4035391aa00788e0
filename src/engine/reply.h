// Where tokens become text, and text becomes events: the one place that decodes UTF-8, tells thinking from answer,
// reads tool calls and looks for stop texts. What it writes into the Journal depends on the tokens alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/journal.h"
#include "engine/stop.h"
#include "engine/turn.h"
#include "smollm3/chat_output.h"
#include "smollm3/tokenizer.h"

namespace engine {

class Reply {
 public:
  // Both must outlive the reply.
  Reply(const Request& request, const smollm3::Tokenizer& tokenizer, Journal& journal);

  // The next token of the answer; none may follow finish().
  void take(Token token);
  // No more tokens come: what was held back, in case more would follow, is written.
  void finish();

  bool stopped() const { return stop_.stopped(); }  // a stop text came, which ends the answer
  bool called_tools() const { return called_tools_; }
  bool thinking() const { return parser_ && parser_->thinking(); }
  // Whether the text so far ends where a sentence does; and whether it ends with a newline.
  bool sentence_ended() const;
  bool line_ended() const { return last_ == '\n'; }

 private:
  void read(std::string_view text);
  void write(std::vector<smollm3::OutputEvent> events);
  void answer(std::string text);

  Journal& journal_;
  smollm3::StreamDecoder decoder_;
  std::optional<smollm3::OutputParser> parser_;  // of a chat
  StopFilter stop_;
  bool tools_offered_;
  bool called_tools_ = false;
  char last_ = 0;               // byte of the text
  std::string last_character_;  // of those that are not white space
};

}  // namespace engine
