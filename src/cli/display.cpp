#include "cli/display.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>
#include <variant>

#include "cli/format.h"
#include "cli/output.h"

namespace cli {

namespace {

// What is done sooner needs no progress.
constexpr auto patience = std::chrono::milliseconds(400);

}  // namespace

Display::Display(int thinking_descriptor, bool silent)
    : thinking_descriptor_(thinking_descriptor), silent_(silent), terminal_(is_terminal(STDOUT_FILENO)) {}

void Display::show(const engine::What& event) {
  if (const auto* thinking = std::get_if<engine::Thinking>(&event)) show_thinking(thinking->text);
  if (const auto* answer = std::get_if<engine::Answer>(&event)) show_answer(answer->text);
  if (const auto* call = std::get_if<smollm3::ToolCall>(&event)) {
    tool_calls_.push_back({{"name", call->name}, {"arguments", call->arguments}});
    show_answer(call->raw);
  }
  if (std::holds_alternative<engine::Done>(event)) clear_progress();
}

void Display::show_progress(const engine::Progress& progress) {
  if (silent_ || thinking_descriptor_ == no_thinking || !is_terminal(STDERR_FILENO)) return;
  if (std::chrono::steady_clock::now() - began_ < patience) return;
  std::string text;
  switch (progress.state) {
    case engine::State::Queued:
      if (progress.prompt_tokens == 0) return;
      text = progress.wait_seconds > 0 ? fmt::format("waiting, for about {} s yet …", progress.wait_seconds)
                                       : "waiting for memory …";
      break;
    case engine::State::Reading:
      text = fmt::format("reading {} of {} tokens …", grouped(progress.prompt_done), grouped(progress.prompt_tokens));
      break;
    case engine::State::Writing:
    case engine::State::Paused:
    case engine::State::Done:
      return;
  }
  progress_shown_ = true;
  write_error("\r" + dim(STDERR_FILENO, text) + "\x1b[K");
}

void Display::clear_progress() {
  if (std::exchange(progress_shown_, false)) write_error("\r\x1b[K");
}

void Display::show_answer(const std::string& piece) {
  if (piece.empty()) return;
  answer_ += piece;
  if (silent_) return;
  clear_progress();
  end_thinking();
  standard_output().write(terminal_ ? printable(piece) : piece);
  standard_output().flush();
}

void Display::end() {
  if (silent_) return;
  clear_progress();
  end_thinking();
  if (!answer_.ends_with('\n')) standard_output().write("\n");
  standard_output().flush();
}

void Display::show_thinking(const std::string& piece) {
  thinking_ += piece;
  if (silent_ || thinking_descriptor_ == no_thinking) return;
  clear_progress();
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
