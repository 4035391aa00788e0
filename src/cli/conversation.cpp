#include "cli/conversation.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "base/error.h"
#include "cli/conversation_list.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "server/http_text.h"

namespace cli {
namespace {

std::string on_terminal(const std::string& text) { return is_terminal(STDOUT_FILENO) ? printable(text) : text; }

// Paths and fractions begin with a slash too, so only a lone word of letters counts.
bool is_unknown_command(const std::string& line, const std::string& word) {
  const bool alone = line.find_last_not_of(" \t") + 1 == word.size();
  return alone && word.size() > 1 && word.starts_with('/') &&
         word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", 1) == std::string::npos;
}

}  // namespace

const char* const Conversation::help =
    "  /think [MESSAGE]      think before answering, from here on\n"
    "  /no_think [MESSAGE]   answer at once, from here on\n"
    "  /list                 show the conversations, the latest first\n"
    "  /open N|ID            go on with one, by its number in the list, or its id or the beginning of it\n"
    "  /new                  begin a new one; so does /reset\n"
    "  /exit                 leave; so does Ctrl-D\n"
    "  /continue             go on with the answer that was stopped, where it stopped\n"
    "  Ctrl-C                stops the answer, or clears the line; twice on an empty line leaves\n"
    "  \\ at the end          continues the message on the next line\n";

Conversation::Answering::Answering(std::int64_t its_number)
    : number(its_number), display(is_terminal(STDOUT_FILENO) ? STDOUT_FILENO : Display::no_thinking) {}

Conversation::Conversation(ChatServer& server, const ChatOptions& options, bool interactive, bool quiet)
    : server_(server),
      options_(options),
      piped_(!interactive),
      interactive_(interactive && !quiet),
      quiet_(quiet),
      thinking_(!options.no_think) {
  begin();
}

bool Conversation::take(const std::string& line) {
  forget_interrupts();  // those that come from here on are meant for the answer to come
  try {
    try {
      if (std::exchange(lost_, false)) server_.find();
      return obey(line);
    } catch (const server::ServerGone&) {
      server_.find();
      return obey(line);
    }
  } catch (const OutputError&) {
    throw;
  } catch (const server::ApiError& refusal) {
    fail(refusal.what());
  } catch (const base::Error& error) {
    fail(error.what());
  }
  return true;
}

bool Conversation::obey(const std::string& line) {
  const std::size_t begin_at = line.find_first_not_of(" \t");
  if (begin_at == std::string::npos) return true;
  const std::string word = line.substr(begin_at, line.find_first_of(" \t\n", begin_at) - begin_at);
  const std::string rest = line.substr(begin_at + word.size());
  const std::size_t argument_at = rest.find_first_not_of(" \t\n");
  const bool alone = argument_at == std::string::npos;
  const std::string argument = alone ? "" : rest.substr(argument_at, rest.find_last_not_of(" \t\n") + 1 - argument_at);
  if (word == "/exit" || word == "/quit") return false;
  if (word == "/help") {
    standard_output().write(help);
  } else if ((word == "/reset" || word == "/new") && alone) {
    begin();
    say("A new conversation.");
  } else if (word == "/list" && alone) {
    list();
  } else if (word == "/open" && argument.find_first_of(" \t\n") == std::string::npos) {
    open(argument);
  } else if (word == "/continue" && alone) {
    go_on();
  } else if (word == "/think" || word == "/no_think") {
    set_thinking(word == "/think", argument);
  } else if (is_unknown_command(line.substr(begin_at), word)) {
    report_error("chat: there is no command " + word + "; /help lists them");
  } else {
    send(line);
  }
  standard_output().flush();
  return !lost_ || !piped_;
}

void Conversation::begin() {
  id_ = server::random_hex(16);
  last_ = 0;
  interrupted_ = false;
  answering_.reset();  // one that was stopped is paused, and is gone on with when its conversation is opened
}

void Conversation::list() {
  list_ = server_.client().list();
  if (list_.empty()) return say("There are no conversations yet.");
  write_list(list_, id_);
}

void Conversation::open_latest() {
  list_ = server_.client().list();
  if (list_.empty()) {
    throw base::Error("--continue", "there is no conversation yet", "leave it out to begin one");
  }
  try {
    open(list_.front(), piped_);
  } catch (const server::ApiError& refusal) {
    throw base::Error("--continue", refusal.what());
  }
}

void Conversation::open(const std::string& which) {
  if (which.empty()) throw base::Error("/open", "it lacks the number or id of a conversation", "/list shows them");
  const std::vector<server::LocalHead> all = server_.client().list();
  open(find_in_list(list_.empty() ? all : list_, all, which), /*silently=*/false);
}

void Conversation::open(const server::LocalHead& head, bool silently) {
  const server::LocalConversation conversation = server_.client().read(head.id);
  begin();
  id_ = conversation.id;
  say(one_line(conversation.title));
  show(conversation, silently ? conversation.last : 0);
}

// What was said after that message; then follows the answer that is being written, if one is.
void Conversation::show(const server::LocalConversation& conversation, std::int64_t after) {
  Output& out = standard_output();
  for (const server::LocalRound& round : conversation.rounds) {
    if (round.number <= after) continue;
    std::string question = on_terminal(round.question);
    for (std::size_t at = 0; (at = question.find('\n', at)) != std::string::npos; at += 5) {
      question.replace(at, 1, "\n… ");
    }
    out.write("> " + question + "\n");
    if (round.open) continue;
    Answering shown(round.number);
    shown.display.show(engine::Thinking{round.thinking});
    shown.display.show(engine::Answer{round.text});
    shown.display.end();
  }
  last_ = conversation.last;
  if (conversation.rounds.empty()) return;
  interrupted_ = conversation.rounds.back().interrupted;
  if (interrupted_) say("This answer was interrupted · /continue goes on with it");
  if (!conversation.rounds.back().open) return;
  answering_.emplace(last_);
  follow(Follow::AfterOpen);
}

void Conversation::set_thinking(bool thinking, const std::string& rest) {
  thinking_ = thinking;
  if (!rest.empty()) return send(rest);
  say(thinking ? "Thinking before each answer." : "Answering at once.");
}

void Conversation::say(const std::string& text) const {
  if (interactive_) standard_output().write(dim(STDOUT_FILENO, text) + "\n");
}

void Conversation::fail(const std::string& message) {
  failed_ = true;
  standard_output().flush();
  report_error(message);
}

void Conversation::send(const std::string& text) {
  require_utf8("message", text);
  leave_stopped();
  server::Message message{.text = text,
                          .after = std::to_string(last_),
                          .think = thinking_,
                          .sampling = options_.sampling.choose(),
                          .max_tokens = options_.sampling.max_tokens};
  if (last_ == 0 && !options_.system.empty()) message.system = options_.system;
  try {
    last_ = server_.client().send(id_, message);
  } catch (const server::ApiError& refusal) {
    return refused(refusal);
  }
  interrupted_ = false;
  answering_.emplace(last_);
  follow(Follow::FromStart);
}

void Conversation::refused(const server::ApiError& refusal) {
  if (refusal.code == "went_on") {
    fail("chat: this conversation went on elsewhere, and the message was not sent; send it again if it still fits");
    show(server_.client().read(id_), last_);
  } else if (refusal.code == "deleted") {
    fail("chat: this conversation was deleted, and the message was not sent; /new begins another");
  } else {
    fail(refusal.what());
  }
}

void Conversation::go_on() {
  if (answering_) {
    server_.client().steer(id_, "resume");
    return follow(Follow::AfterPause);
  }
  if (interrupted_ && server_.client().go_on(id_)) {
    interrupted_ = false;
    answering_.emplace(last_);
    return follow(Follow::FromStart);
  }
  if (interactive_) return say("No answer was stopped.");
  report_error("chat: no answer was stopped");
}

// What was stopped and is not to go on stays as it is.
void Conversation::leave_stopped() {
  if (!answering_) return;
  server_.client().steer(id_, "stop");
  follow(Follow::ToItsEnd);
}

}  // namespace cli
