#include "cli/chat.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <optional>

#include "cli/answer.h"
#include "cli/chat_server.h"
#include "cli/conversation.h"
#include "cli/data_folder.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/message_input.h"
#include "cli/output.h"
#include "store/database.h"

namespace cli {
namespace {

struct Options : ChatOptions {
  std::string data;
  bool temporary = false;
};

void check(const Options& options) {
  options.sampling.choose();
  require_utf8("--system", options.system);
  if (options.temporary && !options.data.empty()) throw UsageError("--temporary keeps nothing, and --data says where");
  if (options.temporary && options.go_on)
    throw UsageError("--temporary has no conversation that --continue could go on with");
  if (options.go_on && !options.system.empty())
    throw UsageError("--system is for conversations that begin, not for --continue");
}

void greet(const server::LocalModel& model) {
  standard_output().write(printable(model.name) + "\n");
  standard_output().write(
      dim(STDOUT_FILENO, fmt::format("{} · {} threads · {} · {} positions · /help lists commands",
                                     printable(model.device), model.threads, model.mode, grouped(model.context))) +
      "\n");
  standard_output().flush();
}

int chat(const Options& options, const Globals& globals) {
  check(options);
  ChatServer server(globals, options.temporary ? store::in_memory : data_place(options.data));
  const bool interactive = is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO);
  if (interactive && !globals.quiet) greet(server.model());
  std::optional<InterruptGuard> guard;
  if (interactive) guard.emplace(InterruptGuard::Second::IsNoted);
  MessageInput input(interactive);
  Conversation conversation(server, options, interactive, globals.quiet);
  if (options.go_on) conversation.open_latest();
  standard_output().flush();
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
  command.option("--system", "TEXT", "What the model shall be and heed, in conversations that begin here",
                 options->system);
  command.flag("--no-think", "Answer without thinking first", options->no_think);
  command.flag("--continue", "Go on with the latest conversation", options->go_on);
  command.flag("--temporary", "Keep nothing of what is said", options->temporary);
  command.option("--data", "DIR|URL", "Where conversations are kept, as of serve (default: $XDG_DATA_HOME/smollm3)",
                 options->data);
  options->sampling.declare(command);
  command.notes(fmt::format(
      "While you chat:\n{}"
      "\n"
      "Conversations are those of the web page. Where a server, or another chat, runs on them, it answers:\n"
      "its model, which is loaded once.\n"
      "\n"
      "Through a pipe every line is a message, and standard output holds the answers alone:\n"
      "  printf 'My name is Ada.\\nWhat is my name?\\n' | smollm3 chat --no-think --temporary",
      Conversation::help));
}

}  // namespace cli
