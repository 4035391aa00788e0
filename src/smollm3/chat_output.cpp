#include "smollm3/chat_output.h"

#include <algorithm>

#include "base/utf8.h"
#include "smollm3/chat_messages.h"

namespace smollm3 {
namespace {

constexpr std::string_view think_open = "<think>", think_close = "</think>";
constexpr std::string_view call_open = "<tool_call>", call_close = "</tool_call>";

bool is_newline(char c) { return c == '\n' || c == '\r'; }

std::size_t count_newlines(std::string_view s) {
  return static_cast<std::size_t>(std::find_if_not(s.begin(), s.end(), is_newline) - s.begin());
}

std::size_t without_last_newlines(std::string_view s) {
  while (!s.empty() && is_newline(s.back())) s.remove_suffix(1);
  return s.size();
}

// The length of the longest proper beginning of the tag that s ends with.
std::size_t begun(std::string_view s, std::string_view tag) {
  for (std::size_t n = std::min(s.size(), tag.size() - 1); n > 0; --n) {
    if (s.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

// What can be given out of s now, if the tag may follow, with newlines before it dropped.
std::size_t certain(std::string_view s, std::string_view tag) {
  s.remove_suffix(begun(s, tag));
  return without_last_newlines(s.substr(0, base::utf8::complete(s)));
}

// Whether JSON that is cut here is cut within a string.
bool ends_in_string(std::string_view json) {
  bool within = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (json[i] == '"') within = !within;
    if (json[i] == '\\' && within) ++i;
  }
  return within;
}

bool read_call(std::string_view body, ToolCall& call) {
  const auto json = parse_bounded(body);
  if (!json.is_object() || !json.contains("name") || !json["name"].is_string()) return false;
  call.name = json["name"].get<std::string>();
  call.arguments = call_arguments(json.contains("arguments") ? json["arguments"] : nlohmann::ordered_json::object());
  return !call.name.empty() && !call.arguments.is_discarded();
}

}  // namespace

OutputParser::OutputParser(StreamStart start)
    : state_(start == StreamStart::Thinking ? State::Thinking : State::Start) {}

std::vector<OutputEvent> OutputParser::feed(std::string_view piece) {
  held_.append(piece);
  advance(false);
  return std::exchange(events_, {});
}

std::vector<OutputEvent> OutputParser::finish() {
  advance(true);
  return std::exchange(events_, {});
}

// Each step takes what it can from the held text, from taken_ on, and says whether another may follow.
void OutputParser::advance(bool at_end) {
  for (bool more = true; more;) {
    switch (state_) {
      case State::Start:
        more = advance_start(at_end);
        break;
      case State::Thinking:
        more = advance_thinking(at_end);
        break;
      case State::Answer:
        more = advance_answer(at_end);
        break;
      case State::Call:
        more = advance_call(at_end);
        break;
    }
  }
  held_.erase(0, taken_);
  taken_ = 0;
}

bool OutputParser::advance_start(bool at_end) {
  const std::string_view text = rest().substr(count_newlines(rest()));
  if (text.starts_with(think_open)) {
    taken_ = held_.size() - text.size() + think_open.size();
    state_ = State::Thinking;
    return true;
  }
  if (!at_end && think_open.starts_with(text)) return false;
  state_ = State::Answer;
  return true;
}

bool OutputParser::advance_thinking(bool at_end) {
  const std::size_t close = rest().find(think_close);
  if (close == std::string_view::npos) {
    const std::size_t n = at_end ? without_last_newlines(rest()) : certain(rest(), think_close);
    emit(OutputEvent::Kind::Thinking, n);
    if (at_end) taken_ = held_.size();
    return false;
  }
  emit(OutputEvent::Kind::Thinking, without_last_newlines(rest().substr(0, close)));
  taken_ += rest().find(think_close) + think_close.size();
  state_ = State::Answer;
  drop_newlines_ = true;
  return true;
}

bool OutputParser::advance_answer(bool at_end) {
  const std::size_t open = rest().find(call_open);
  if (open == std::string_view::npos) {
    emit(OutputEvent::Kind::Answer, at_end ? rest().size() : certain(rest(), call_open));
    return false;
  }
  // Newlines before the tag stay held: they are dropped only if a call follows.
  emit(OutputEvent::Kind::Answer, without_last_newlines(rest().substr(0, open)));
  state_ = State::Call;
  searched_ = 0;
  return true;
}

bool OutputParser::advance_call(bool at_end) {
  const std::size_t begin = rest().find(call_open) + call_open.size();
  const std::size_t close =
      no_more_calls_end_ ? std::string_view::npos : rest().find(call_close, std::max(begin, searched_));
  const bool closed = close != std::string_view::npos;
  if (!closed && !at_end) {
    searched_ = rest().size() - std::min(rest().size(), call_close.size() - 1);
    return false;
  }
  if (!closed) no_more_calls_end_ = rest().find(call_close, begin) == std::string_view::npos;
  if (closed && ends_in_string(rest().substr(begin, close - begin))) {  // the tag is part of an argument
    searched_ = close + call_close.size();
    return true;
  }
  const std::size_t body_end = closed ? close : rest().size();
  const std::size_t end = closed ? close + call_close.size() : rest().size();
  OutputEvent event{OutputEvent::Kind::ToolCall, {}, {}};
  state_ = State::Answer;
  if (!read_call(rest().substr(begin, body_end - begin), event.call)) {
    // The tag is text; what follows it may still hold a call.
    emit(OutputEvent::Kind::Answer, begin);
    return true;
  }
  event.call.raw = std::string(rest().substr(begin - call_open.size(), end - begin + call_open.size()));
  events_.push_back(std::move(event));
  taken_ += end;
  drop_newlines_ = true;
  return true;
}

void OutputParser::emit(OutputEvent::Kind kind, std::size_t length) {
  std::string_view text = rest().substr(0, length);
  taken_ += length;
  if (drop_newlines_) text.remove_prefix(count_newlines(text));
  if (text.empty()) return;
  drop_newlines_ = false;
  if (events_.empty() || events_.back().kind != kind) events_.push_back({kind, {}, {}});
  events_.back().text.append(text);
}

}  // namespace smollm3
