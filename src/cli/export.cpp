#include "cli/export.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>

#include "base/error.h"
#include "cli/data_folder.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/pending_file.h"
#include "store/database.h"
#include "store/export.h"

namespace cli {
namespace {

struct Options {
  std::vector<std::string> ids;
  std::string format = "markdown";
  std::string out;
  std::string data;
  std::string user = store::local_account;
};

struct Interrupted {};

// The one of this id, or whose id alone begins so.
std::string id_of(const std::vector<store::ConversationHead>& all, const std::string& begin) {
  std::vector<std::string> found;
  for (const store::ConversationHead& head : all) {
    if (head.id == begin) return begin;
    if (head.id.starts_with(begin)) found.push_back(head.id);
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    throw base::Error("conversation", "there is none whose id begins with '" + printable(begin) + "'",
                      "take it from the address of its page");
  }
  throw base::Error("conversation", fmt::format("{} have an id that begins with '{}'", found.size(), printable(begin)),
                    "name more of it");
}

std::vector<std::string> chosen(store::Database& database, const Options& options) {
  database.accounts().require(options.user);
  const auto all = database.list(options.user, std::numeric_limits<int>::max(), {.shelf = store::Listing::Shelf::All});
  std::vector<std::string> ids;
  if (options.ids.empty()) {
    for (const store::ConversationHead& head : all) ids.push_back(head.id);
  }
  for (const std::string& begin : options.ids) ids.push_back(id_of(all, begin));
  return ids;
}

void write_all(store::Database& database, const std::vector<std::string>& ids, const Options& options, Output& out,
               bool terminal) {
  const bool json = options.format == "json";
  if (json) out.write(store::export_begin());
  bool first = true;
  for (const std::string& id : ids) {
    if (interrupted()) throw Interrupted{};
    const auto whole = database.whole(options.user, id);
    if (!whole) continue;  // it was deleted since
    if (!first) out.write(json ? store::export_separator : "\n---\n\n");
    first = false;
    const std::string text = json ? store::to_json(*whole) : store::to_markdown(*whole);
    out.write(terminal ? printable(text) : text);
  }
  if (json) out.write(store::export_end);
  out.flush();
}

void write_file(store::Database& database, const std::vector<std::string>& ids, const Options& options) {
  PendingFile pending(options.out);
  // Conversations are for nobody else's eyes.
  const int descriptor = ::open(pending.path().c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    throw base::Error(base::kind_of_errno(errno), options.out,
                      std::string("cannot be written: ") + std::strerror(errno), "check the path and the free space");
  }
  const std::unique_ptr<const int, void (*)(const int*)> closed(&descriptor, [](const int* file) { ::close(*file); });
  Output out(descriptor, options.out);
  write_all(database, ids, options, out, /*terminal=*/false);
  pending.commit();
}

int export_conversations(const Options& options) {
  const std::string place = existing_data_place(options.data);
  if (!options.out.empty()) refuse_own_file(options.out, place);
  store::Database database(place);
  const std::vector<std::string> ids = chosen(database, options);
  const InterruptGuard guard(InterruptGuard::Second::IsNoted, {SIGINT, SIGTERM, SIGHUP});
  try {
    if (options.out.empty()) {
      write_all(database, ids, options, standard_output(), is_terminal(STDOUT_FILENO));
    } else {
      write_file(database, ids, options);
    }
  } catch (const Interrupted&) {
    return exit_interrupted;
  }
  return 0;
}

}  // namespace

void add_export(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command = line.add("Conversations", "export", "Write conversations as Markdown or JSON",
                             [options] { return export_conversations(*options); });
  command.arguments("ID…", "Conversations, each by its id or the beginning of it (default: all)", options->ids);
  command
      .option("--format", "FORMAT",
              "markdown: the shown branch, to read; json: all there is, for import (default: markdown)",
              options->format)
      .one_of({"markdown", "json"});
  command.option("--out", "FILE", "Where to write; a file of that name is replaced (default: standard output)",
                 options->out);
  command.option("--user", "NAME", "Whose conversations (default: those of this machine's own user)", options->user);
  command.option("--data", "DIR", "Where conversations are kept, as of serve", options->data);
  command.notes(
      "A conversation's id is at the end of its page's address. A server may be running.\n"
      "\n"
      "Examples:\n"
      "  smollm3 export 3f09 > conversation.md\n"
      "  smollm3 export --format json --out conversations.json");
}

}  // namespace cli
