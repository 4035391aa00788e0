#include "cli/import.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "cli/data_folder.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/output.h"
#include "server/saved_answer.h"
#include "store/database.h"
#include "store/import.h"

namespace cli {
namespace {

struct Options {
  std::string file;
  std::string data;
  std::string user = store::local_account;
  bool json = false;
};

// What the server wants to know of an answer, where another program wrote it.
void complete(store::Message& message) {
  const bool empty = message.text.empty() && message.thinking.empty();
  if (message.asked.empty()) message.asked = server::to_json(server::Asked{.think = !message.thinking.empty()});
  if (message.ended.empty() && message.condition == store::Condition::Whole) {
    message.ended = server::to_json(engine::Done{.finish = empty ? engine::Finish::Cancelled : engine::Finish::Stop});
  }
}

// Throws base::Error for what the server could not read again.
void check(const store::Message& message, const store::AnswerRecord& record) {
  try {
    server::asked_from(message.asked);
    server::answer_from(message);
    if (message.condition != store::Condition::Whole) server::request_from({.settings = record.settings});
  } catch (const base::Error& error) {
    throw base::Error("message " + std::to_string(message.number), error.why());
  }
}

class Import {
 public:
  Import(const Options& options, store::Database& database) : options_(options), database_(database) {}

  void take(store::Imported one) {
    if (one.conversation) {
      try {
        add(std::move(*one.conversation));
      } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::Input) throw;
        fail(
            base::Error(options_.file, fmt::format("conversation {}: {} {}", one.place, error.subject(), error.why())));
      }
    } else if (one.error) {
      fail(std::move(*one.error));
    } else {
      ++empty_;
    }
  }

  void tell() const {
    Output& out = standard_output();
    if (options_.json) {
      const nlohmann::ordered_json counts{
          {"imported", imported_}, {"known", known_}, {"empty", empty_}, {"failed", failed_}};
      out.write(counts.dump() + "\n");
    } else {
      std::string line = fmt::format("{} imported", number_of(imported_));
      if (known_ > 0) line += fmt::format(", {} there already", number_of(known_));
      if (empty_ > 0) line += fmt::format(", {} without a word", number_of(empty_));
      out.write(line + "\n");
    }
    out.flush();
  }

  // Throws what is wrong, if anything is.
  void finish() const {
    if (!failure_) return;
    const std::string others = failed_ > 1 ? fmt::format(", and {} more cannot be read", failed_ - 1) : "";
    throw base::Error(failure_->subject(), failure_->why() + others,
                      "correct it, and import the file again: what came in is not doubled");
  }

 private:
  static std::string number_of(std::uint64_t count) {
    return grouped(count) + (count == 1 ? " conversation" : " conversations");
  }

  void add(store::WholeConversation conversation) {
    for (store::Message& message : conversation.messages) {
      if (message.role == store::Role::User) continue;
      complete(message);
      check(message, conversation.answers[message.number]);
    }
    ++(database_.add(options_.user, std::move(conversation)) ? imported_ : known_);
  }

  void fail(base::Error error) {
    ++failed_;
    if (!failure_) failure_.emplace(std::move(error));
  }

  const Options& options_;
  store::Database& database_;
  std::uint64_t imported_ = 0, known_ = 0, empty_ = 0, failed_ = 0;
  std::optional<base::Error> failure_;  // the first
};

int import_conversations(const Options& options) {
  std::string text = options.file == "-" ? read_standard_input() : read_file(options.file);
  const std::string name = options.file == "-" ? "standard input" : options.file;
  store::Database database(data_place(options.data));
  database.accounts().require(options.user);
  Import import(options, database);
  bool begun = false;
  try {
    store::read_conversations(name, std::move(text), [&](store::Imported one) {
      begun = true;
      import.take(std::move(one));
    });
  } catch (const base::Error&) {
    if (begun) import.tell();
    throw;
  }
  import.tell();
  import.finish();
  return 0;
}

}  // namespace

void add_import(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command = line.add("Conversations", "import", "Take in conversations from a file",
                             [options] { return import_conversations(*options); });
  command
      .argument("FILE",
                "JSON of 'smollm3 export', ChatGPT's conversations.json or an export of Open WebUI; - is "
                "standard input",
                options->file)
      .required();
  command.option("--user", "NAME", "The account that gets them (default: that of this machine's own user)",
                 options->user);
  command.option("--data", "DIR", "Where conversations are kept, as of serve", options->data);
  command.flag("--json", "How many came in, as JSON", options->json);
  command.notes(
      "Whose file it is shows by itself. What is there already is not doubled; each conversation comes in\n"
      "whole or not at all, whatever is wrong with others. A server may be running: it has them at once.\n"
      "JSON: {\"imported\", \"known\", \"empty\", \"failed\"}, numbers of conversations.\n"
      "\n"
      "Examples:\n"
      "  smollm3 import conversations.json\n"
      "  ssh home smollm3 export --format json | smollm3 import -");
}

}  // namespace cli
