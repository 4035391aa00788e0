#include "cli/user.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/ask.h"
#include "cli/data_folder.h"
#include "cli/format.h"
#include "cli/output.h"
#include "server/saved_answer.h"
#include "store/database.h"

namespace cli {
namespace {

struct Options {
  std::string action;
  std::string name;
  std::string data;
  bool yes = false;
  bool json = false;
};

void tell(const Globals& globals, const std::string& line) {
  if (!globals.quiet) write_error(dim(STDERR_FILENO, line + "\n"));
}

std::string number_of(std::int64_t count, const std::string& what) {
  return grouped(static_cast<std::uint64_t>(count)) + " " + what + (count == 1 ? "" : "s");
}

int add(const Options& options, const Globals& globals) {
  store::Database database(data_place(options.data));
  database.accounts().require_free(options.name);
  const auto password = ask_new_password(options.name);
  if (!password) return exit_interrupted;
  database.accounts().add(options.name, store::hash_password(*password), server::now());
  tell(globals, options.name + " can sign in");
  return 0;
}

int change_password(const Options& options, const Globals& globals) {
  store::Database database(existing_data_place(options.data));
  const auto summary = database.accounts().summary(options.name, server::now());
  const auto password = ask_new_password(options.name);
  if (!password) return exit_interrupted;
  database.accounts().set_password(options.name, store::hash_password(*password));
  tell(globals, "the password was changed" +
                    (summary.sign_ins > 0 ? ", and " + number_of(summary.sign_ins, "sign-in") + " ended" : ""));
  return 0;
}

int list(const Options& options) {
  store::Database database(existing_data_place(options.data));
  const auto all = database.accounts().list(server::now());
  Output& out = standard_output();
  if (options.json) {
    auto accounts = nlohmann::ordered_json::array();
    for (const store::AccountSummary& one : all) {
      accounts.push_back({{"name", one.name},
                          {"created", one.created},
                          {"conversations", one.conversations},
                          {"keys", one.keys},
                          {"sign_ins", one.sign_ins}});
    }
    out.write(nlohmann::ordered_json{{"accounts", accounts}}.dump() + "\n");
  } else {
    for (const store::AccountSummary& one : all) {
      out.write(fmt::format("{:<24} {}  {}, {}, {}\n", one.name, date(one.created),
                            number_of(one.conversations, "conversation"), number_of(one.keys, "key"),
                            number_of(one.sign_ins, "sign-in")));
    }
  }
  out.flush();
  return 0;
}

int remove(const Options& options, const Globals& globals) {
  store::Database database(existing_data_place(options.data));
  const auto summary = database.accounts().summary(options.name, server::now());
  const std::string what = fmt::format("{}, {} and {}", number_of(summary.conversations, "conversation"),
                                       number_of(summary.keys, "key"), number_of(summary.sign_ins, "sign-in"));
  if (!options.yes) {
    if (!is_terminal(STDIN_FILENO)) {
      throw base::Error("account '" + options.name + "'", "it has " + what + ", which go with it",
                        "add --yes if they are to");
    }
    if (!ask_yes(fmt::format("{} has {}, which go with the account and cannot be brought back. Remove it?",
                             options.name, what))) {
      return exit_failed;
    }
  }
  database.accounts().remove(options.name);
  tell(globals, options.name + " was removed, with " + what);
  return 0;
}

int user(const Options& options, const Globals& globals) {
  if (options.action == "list") {
    if (!options.name.empty()) throw UsageError("'" + printable(options.name) + "' is one argument too many");
    return list(options);
  }
  if (options.name.empty()) throw UsageError("NAME is missing, whose account is meant");
  store::check_account_name(options.name);
  if (options.action == "add") return add(options, globals);
  if (options.action == "passwd") return change_password(options, globals);
  return remove(options, globals);
}

}  // namespace

void add_user(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Accounts", "user", "Who may sign in to a server that others reach",
                             [options, &globals] { return user(*options, globals); });
  command.argument("ACTION", "add, passwd, list or remove", options->action)
      .required()
      .one_of({"add", "passwd", "list", "remove"});
  command.argument("NAME", "The account: lower-case letters, digits and . _ - @", options->name);
  command.option("--data", "DIR|URL", "Where conversations are kept, as of serve", options->data);
  command.flag("--yes", "remove: without asking", options->yes);
  command.flag("--json", "list: as JSON", options->json);
  command.notes(
      "A password is asked for twice, or read as a line from standard input where that is no terminal. A\n"
      "server that runs knows of every change at once.\n"
      "\n"
      "  add       a new account, which sees its own conversations alone\n"
      "  passwd    another password; all browsers that were signed in have to sign in again\n"
      "  list      accounts, with what is theirs. JSON: {\"accounts\": [{\"name\", \"created\" (milliseconds\n"
      "            since 1970), \"conversations\", \"keys\", \"sign_ins\"}]}\n"
      "  remove    an account with its conversations, keys and sign-ins\n"
      "\n"
      "Examples:\n"
      "  smollm3 user add ann\n"
      "  pwgen 20 1 | tee password | smollm3 user add ann");
}

}  // namespace cli
