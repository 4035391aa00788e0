// The way back: text as the model writes it, in pieces of any size, separated into thinking, answer and tool calls.
//
// A piece may end anywhere, inside a tag or a UTF-8 character: text that could still become a tag is held back, and a
// tag or half of one never reaches an event (nor does half a character).
//   thinking   opens with <think>, if that is the first thing written (or the prompt opened it), and ends with </think>
//              or the end of the text; tags in between are its text
//   tool call  <tool_call>, JSON with a "name" and "arguments", </tool_call>, anywhere in the answer; the closing tag
//   may
//              be missing at the end of the text. What is not such JSON is answer text, tags included, unchanged
//   newlines   are dropped at the beginning and end of thinking, at the beginning of the answer, and around tool calls
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "smollm3/chat.h"

namespace smollm3 {

struct ToolCall {
  std::string name;
  nlohmann::ordered_json arguments;  // an object
  std::string raw;                   // as written, tags included
};

struct OutputEvent {
  enum class Kind { Thinking, Answer, ToolCall };
  Kind kind;
  std::string text;  // what to append to the thinking or the answer; empty for a tool call
  ToolCall call;     // of a tool call
};

class OutputParser {
 public:
  explicit OutputParser(StreamStart start);

  // What became certain with this piece: events in order, adjacent ones of one kind joined.
  std::vector<OutputEvent> feed(std::string_view piece);
  // The text is over: everything that was held back.
  std::vector<OutputEvent> finish();

  // Whether the next byte would be thinking (for a user interface that wants to say so before the first word).
  bool thinking() const { return state_ == State::Thinking; }

 private:
  enum class State { Start, Thinking, Answer, Call };

  void advance(bool at_end);
  bool advance_start(bool at_end);
  bool advance_thinking(bool at_end);
  bool advance_answer(bool at_end);
  bool advance_call(bool at_end);
  std::string_view rest() const { return std::string_view(held_).substr(taken_); }
  void emit(OutputEvent::Kind kind, std::size_t length);

  State state_;
  std::string held_;  // not yet decided, from taken_ on
  std::size_t taken_ = 0;
  std::size_t searched_ = 0;        // of rest(): no call ends before here
  bool no_more_calls_end_ = false;  // the text is over, and the rest holds no closing tag
  bool drop_newlines_ = true;       // nothing was written yet in this thinking or answer, or since the last call
  std::vector<OutputEvent> events_;
};

}  // namespace smollm3
