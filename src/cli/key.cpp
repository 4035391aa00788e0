#include "cli/key.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/answer.h"
#include "cli/data_folder.h"
#include "cli/format.h"
#include "cli/output.h"
#include "server/authentication.h"
#include "server/saved_answer.h"
#include "store/database.h"

namespace cli {
namespace {

constexpr std::size_t most_label = 100;

struct Options {
  std::string action;
  std::string id;
  std::string user;
  std::string label;
  std::string data;
  bool json = false;
};

int add(const Options& options, const Globals& globals) {
  require_utf8("label", options.label);
  if (base::utf8::count(options.label) > most_label) {
    throw base::Error("label", "it is too long", "take one of at most 100 characters");
  }
  const std::string account = options.user.empty() ? store::local_account : options.user;
  store::Database database(data_place(options.data));
  const store::Token token = database.accounts().add_key(account, options.label, server::now());
  Output& out = standard_output();
  if (options.json) {
    const nlohmann::ordered_json key{
        {"id", token.id}, {"account", account}, {"label", options.label}, {"key", server::key_text(token)}};
    out.write(key.dump() + "\n");
  } else {
    if (!globals.quiet) {
      write_error(dim(STDERR_FILENO, "key " + token.id + " of account " + account + ", shown this once:\n"));
    }
    out.write(server::key_text(token) + "\n");
  }
  out.flush();
  return 0;
}

int list(const Options& options) {
  store::Database database(existing_data_place(options.data));
  if (!options.user.empty()) database.accounts().require(options.user);
  auto keys = database.accounts().keys();
  if (!options.user.empty()) std::erase_if(keys, [&](const store::ApiKey& key) { return key.account != options.user; });
  Output& out = standard_output();
  if (options.json) {
    auto all = nlohmann::ordered_json::array();
    for (const store::ApiKey& key : keys) {
      all.push_back({{"id", key.id},
                     {"account", key.account},
                     {"label", key.label},
                     {"created", key.created},
                     {"used", key.used == 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(key.used)}});
    }
    out.write(nlohmann::ordered_json{{"keys", all}}.dump() + "\n");
  } else {
    for (const store::ApiKey& key : keys) {
      const std::string used = key.used == 0 ? "never used" : "used " + date(key.used);
      out.write(fmt::format("{}  {:<24} {}  {:<15}  {}\n", key.id, key.account, date(key.created), used,
                            printable(key.label)));
    }
  }
  out.flush();
  return 0;
}

int revoke(const Options& options, const Globals& globals) {
  store::Database database(existing_data_place(options.data));
  require_utf8("key", options.id);
  if (!database.accounts().revoke_key(options.id)) {
    throw base::Error("key '" + printable(options.id) + "'", "there is none of this id",
                      "'smollm3 key list' has those there are");
  }
  if (!globals.quiet) write_error(dim(STDERR_FILENO, "key " + options.id + " is good for nothing any more\n"));
  return 0;
}

int key(const Options& options, const Globals& globals) {
  if (options.action == "revoke") {
    if (options.id.empty()) throw UsageError("ID is missing, which key is meant");
    return revoke(options, globals);
  }
  if (!options.id.empty()) throw UsageError("'" + printable(options.id) + "' is one argument too many");
  return options.action == "add" ? add(options, globals) : list(options);
}

}  // namespace

void add_key(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Accounts", "key", "API keys, for programs that use a server that others reach",
                             [options, &globals] { return key(*options, globals); });
  command.argument("ACTION", "add, list or revoke", options->action).required().one_of({"add", "list", "revoke"});
  command.argument("ID", "revoke: the key, by its id in the list", options->id);
  command.option("--user", "NAME",
                 "The account that a key is of (default: of add that of this machine's own user, of "
                 "list all)",
                 options->user);
  command.option("--label", "TEXT", "add: what it is for, to know it by in the list", options->label);
  command.option("--data", "DIR|URL", "Where conversations are kept, as of serve", options->data);
  command.flag("--json", "add, list: as JSON", options->json);
  command.notes(
      "A key is shown once, when it is added; what is kept of it is its hash. Programs send it as\n"
      "'Authorization: Bearer KEY' or 'x-api-key: KEY'. A server that runs knows of every change at once.\n"
      "JSON: {\"id\", \"account\", \"label\", \"key\"}; {\"keys\": [{\"id\", \"account\", \"label\", \"created\", "
      "\"used\"}]},\n"
      "times in milliseconds since 1970, the last use roughly, or null.\n"
      "\n"
      "Examples:\n"
      "  smollm3 key add --user ann --label laptop\n"
      "  smollm3 key revoke 1f0c33a7e2b4");
}

}  // namespace cli
