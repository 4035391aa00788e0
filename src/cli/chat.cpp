#include "cli/chat.h"

#include <fmt/format.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "cli/answer.h"
#include "cli/display.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/output.h"

namespace cli {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string system;
  bool no_think = false;
  SamplingOptions sampling;
};

constexpr const char* help_text =
    "  /think [MESSAGE]      think before answering, from here on\n"
    "  /no_think [MESSAGE]   answer at once, from here on\n"
    "  /reset                forget the conversation and begin a new one\n"
    "  /exit                 leave; so does Ctrl-D\n"
    "  /continue             go on with the answer that Ctrl-C stopped, where it stopped\n"
    "  Ctrl-C                stops the answer, or clears the line; twice on an empty line leaves\n"
    "  \\ at the end          continues the message on the next line\n";

// Messages from standard input: typed by a person, or lines of a pipe.
class Input {
 public:
  explicit Input(bool interactive) {
    if (interactive) editor_.emplace();
  }

  // The next message, its continued lines joined; nothing when there are no more.
  std::optional<std::string> next() {
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

 private:
  // libedit wants escape sequences between \1, and loses one that ends the prompt.
  static std::string prompt(const std::string& style, const std::string& sign) {
    return has_colour(STDOUT_FILENO) ? "\1\x1b[" + style + "m\1" + sign + "\1\x1b[0m\1 " : sign + " ";
  }

  std::optional<std::string> typed(bool first) {
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

  static std::optional<std::string> piped() {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    if (line.ends_with('\r')) line.pop_back();
    return line;
  }

  std::optional<LineEditor> editor_;
  bool given_up_ = false;     // the last line was, by Ctrl-C
  int empty_interrupts_ = 0;  // Ctrl-C on an empty line, one after another
};

class Conversation {
 public:
  Conversation(engine::Engine& engine, const Options& options, bool interactive, bool quiet)
      : engine_(engine),
        options_(options),
        interactive_(interactive && !quiet),
        quiet_(quiet),
        thinking_(!options.no_think) {
    reset();
  }

  bool failed() const { return failed_; }  // any turn did

  // Does what a line asks for; false to leave. A turn that fails costs that turn alone.
  bool take(const std::string& line) {
    const std::size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string::npos) return true;
    const std::string word = line.substr(begin, line.find_first_of(" \t\n", begin) - begin);
    if (word == "/exit" || word == "/quit") return false;
    if (word == "/help")
      standard_output().write(help_text);
    else if (word == "/reset")
      start_again();
    else if (word == "/continue" && line.find_first_not_of(" \t\n", begin + word.size()) == std::string::npos)
      go_on();
    else if (word == "/think" || word == "/no_think")
      set_thinking(word == "/think", line.substr(begin + word.size()));
    else if (is_unknown_command(line.substr(begin), word))
      report_error("chat: there is no command " + word + "; /help lists them");
    else
      answer(line);
    standard_output().flush();
    return true;
  }

 private:
  // Paths and fractions begin with a slash too, so only a lone word of letters counts.
  static bool is_unknown_command(const std::string& line, const std::string& word) {
    const bool alone = line.find_last_not_of(" \t") + 1 == word.size();
    return alone && word.size() > 1 && word.starts_with('/') &&
           word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", 1) == std::string::npos;
  }

  void reset() {
    leave_stopped();
    before_.reset();
    messages_ = ordered_json::array();
    if (!options_.system.empty()) messages_.push_back({{"role", "system"}, {"content", options_.system}});
  }

  void start_again() {
    reset();
    say("A new conversation.");
  }

  void set_thinking(bool thinking, const std::string& rest) {
    thinking_ = thinking;
    const std::size_t begin = rest.find_first_not_of(" \t\n");
    if (begin != std::string::npos)
      answer(rest.substr(begin));
    else
      say(thinking ? "Thinking before each answer." : "Answering at once.");
  }

  void say(const std::string& text) const {
    if (interactive_) standard_output().write(dim(STDOUT_FILENO, text) + "\n");
  }

  // An answer on its way, or stopped.
  struct Answering {
    explicit Answering(std::shared_ptr<engine::Generation> generation)
        : follower(std::move(generation)), display(is_terminal(STDOUT_FILENO) ? STDOUT_FILENO : Display::no_thinking) {}

    Follower follower;
    Display display;
  };

  void answer(const std::string& message) {
    try {
      require_utf8("message", message);
      leave_stopped();
      ordered_json messages = messages_;
      messages.push_back({{"role", "user"}, {"content", message}});
      engine::Turn turn;
      turn.sampling = options_.sampling.choose();
      turn.limits.max_tokens = options_.sampling.max_tokens;
      turn.input.messages = messages;
      turn.input.enable_thinking = thinking_;
      turn.before = before_;
      answering_.emplace(engine_.start(std::move(turn)));
      messages_ = std::move(messages);
    } catch (const base::Error& error) {
      failed_ = true;
      report_error(error.what());
      return;
    }
    follow();
  }

  void follow() {
    Display& display = answering_->display;
    try {
      forget_interrupts();
      const std::optional<engine::Done> done = answering_->follower.follow(display, Follower::Interrupt::Pauses);
      display.end();
      if (!done) {
        const std::uint32_t tokens = answering_->follower.generation().journal().progress().generated_tokens;
        say(fmt::format("stopped after {} tokens · /continue goes on", grouped(tokens)));
        return;
      }
      note_answer();
      if (!quiet_) tell_if_cut_off(*done, options_.sampling.max_tokens, engine_.context());
      say(figures(done->usage));
    } catch (const OutputError&) {
      throw;
    } catch (const base::Error& error) {
      if (!display.answer().empty()) display.end();
      messages_.erase(messages_.size() - 1);  // the question
      answering_.reset();
      failed_ = true;
      report_error(error.what());
    }
  }

  void note_answer() {
    messages_.push_back({{"role", "assistant"}, {"content", answering_->display.answer()}});
    if (auto newer = answering_->follower.generation().take_transcript()) before_ = std::move(newer);
    answering_.reset();
  }

  void go_on() {
    if (!answering_) return interactive_ ? say("No answer was stopped.") : report_error("chat: no answer was stopped");
    answering_->follower.generation().resume();
    follow();
  }

  // What was stopped and is not to go on stays as it is.
  void leave_stopped() {
    if (!answering_) return;
    answering_->follower.generation().cancel();
    answering_->follower.follow(answering_->display, Follower::Interrupt::Cancels);  // what it still held back
    note_answer();
  }

  engine::Engine& engine_;
  const Options& options_;
  bool interactive_;
  bool quiet_;
  bool thinking_;
  bool failed_ = false;
  ordered_json messages_;
  std::shared_ptr<const engine::Transcript> before_;  // as of engine::Turn
  std::optional<Answering> answering_;
};

int chat(const Options& options, const Globals& globals) {
  options.sampling.choose();
  require_utf8("--system", options.system);
  const auto engine = load_engine(globals, {.conversations = 1});
  const bool interactive = is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO);
  if (interactive && !globals.quiet) {
    standard_output().write(printable(engine->model_name()) + "\n");
    standard_output().write(dim(STDOUT_FILENO, fmt::format("{} · {} threads · {} · {} positions · /help lists commands",
                                                           engine->device_name(), engine->threads(), engine->mode(),
                                                           grouped(engine->context()))) +
                            "\n");
    standard_output().flush();
  }
  std::optional<InterruptGuard> guard;
  if (interactive) guard.emplace(InterruptGuard::Second::IsNoted);
  Input input(interactive);
  Conversation conversation(*engine, options, interactive, globals.quiet);
  while (const std::optional<std::string> line = input.next()) {
    if (!conversation.take(*line)) break;
  }
  return conversation.failed() && !interactive ? exit_failed : 0;
}

}  // namespace

void add_chat(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Talking", "chat", "Have a conversation in this terminal",
                             [options, &globals] { return chat(*options, globals); });
  command.option("--system", "TEXT", "What the model shall be and heed", options->system);
  command.flag("--no-think", "Answer without thinking first", options->no_think);
  options->sampling.declare(command);
  command.notes(
      fmt::format("While you chat:\n{}"
                  "\n"
                  "Through a pipe every line is a message, and standard output holds the answers alone:\n"
                  "  printf 'My name is Ada.\\nWhat is my name?\\n' | smollm3 chat --no-think",
                  help_text));
}

}  // namespace cli
