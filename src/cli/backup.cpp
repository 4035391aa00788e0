#include "cli/backup.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "base/error.h"
#include "cli/data_folder.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/pending_file.h"
#include "store/backup.h"

namespace cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string file;
  std::string data;
};

struct Interrupted {};

void stop_if_interrupted() {
  if (interrupted()) throw Interrupted{};
}

std::string number_of(std::int64_t conversations) {
  return conversations == 1 ? "1 conversation" : grouped(static_cast<std::uint64_t>(conversations)) + " conversations";
}

void tell(const Globals& globals, const std::string& line) {
  if (!globals.quiet) write_error(dim(STDERR_FILENO, line + "\n"));
}

std::int64_t write_backup(const Options& options, const std::string& place) {
  PendingFile pending(options.file);
  std::int64_t count = 0;
  try {
    count = store::backup(place, pending.path().string(), stop_if_interrupted);
  } catch (const base::Error& error) {
    // The hidden name would tell nobody anything.
    if (error.subject() != pending.path().string()) throw;
    throw base::Error(error.kind(), options.file, error.why(), "check the path and the free space");
  }
  stop_if_interrupted();
  pending.commit();
  return count;
}

int backup(const Options& options, const Globals& globals) {
  const std::string place = existing_data_place(options.data);
  refuse_own_file(options.file, place);
  const InterruptGuard guard(InterruptGuard::Second::IsNoted, {SIGINT, SIGTERM, SIGHUP});
  try {
    const std::int64_t count = write_backup(options, place);
    std::error_code ignored;
    const std::uint64_t bytes = fs::file_size(options.file, ignored);
    tell(globals, fmt::format("{}: {}, {}", printable(options.file), number_of(count), byte_size(bytes)));
  } catch (const Interrupted&) {
    return exit_interrupted;
  }
  return 0;
}

int restore(const Options& options, const Globals& globals) {
  const InterruptGuard guard(InterruptGuard::Second::IsNoted, {SIGINT, SIGTERM, SIGHUP});
  try {
    const std::int64_t count = store::restore(options.file, data_place(options.data), stop_if_interrupted);
    tell(globals, number_of(count) + " restored");
  } catch (const Interrupted&) {
    return exit_interrupted;
  }
  return 0;
}

void add_data(Command& command, Options& options) {
  command.option("--data", "DIR|URL",
                 "Where conversations are kept: a folder, as of serve, or a PostgreSQL database (postgresql://…)",
                 options.data);
}

}  // namespace

void add_backup(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Conversations", "backup", "Write all that is kept to one file",
                             [options, &globals] { return backup(*options, globals); });
  command
      .argument("FILE", "The file to write; one of that name is replaced once the new one is complete", options->file)
      .required();
  add_data(command, *options);
  command.notes(
      "All accounts with their keys and conversations, also those that were deleted and can still be\n"
      "brought back, as of one instant. A server may be running. The file is an SQLite database, whatever\n"
      "it was made from, so that restoring it elsewhere moves conversations between folders and PostgreSQL.\n"
      "\n"
      "Example:\n"
      "  smollm3 backup conversations.backup");
}

void add_restore(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Conversations", "restore", "Put a backup in place of all that is kept",
                             [options, &globals] { return restore(*options, globals); });
  command.argument("FILE", "A file that backup wrote, in this version of the program or an earlier one", options->file)
      .required();
  add_data(command, *options);
  command.notes(
      "What is kept now is gone afterwards, all at once; if anything fails, nothing has changed. To add\n"
      "conversations to those that are there, see export and import.\n"
      "\n"
      "Example:\n"
      "  smollm3 restore conversations.backup --data postgresql://user@host/smollm3");
}

}  // namespace cli
