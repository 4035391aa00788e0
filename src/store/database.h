// Everything that was said, on disk: conversations as trees of messages, and of each answer its exact tokens and what
// it depends on, so that one that was interrupted can go on byte for byte. SQLite in a folder of this machine, or
// PostgreSQL. docs/sessions.md has the tables and what is promised.
//
// For one thread at a time; Store (store.h) gives it one. Whatever changes something is one transaction, and when it
// returns, that is there after a loss of power too. All throw base::Error: Resource if the database fails (the disk is
// full, it may not be written, it does not answer), Conflict as told.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "store/accounts.h"
#include "store/records.h"
#include "store/whole.h"

namespace store {

// What was to be changed is not as whoever asks for it has it before him.
struct Conflict : base::Error {
  using Error::Error;
};

// Somebody else serves from the database.
struct Taken : base::Error {
  using Error::Error;
};

// As `where` of a database: what is said is kept as long as the Database is there, and never on disk.
inline constexpr const char* in_memory = ":memory:";

class Database {
 public:
  // `where`: a folder, which is made if there is none, an address postgresql://…, or in_memory. Brings it to this
  // version's tables.
  explicit Database(const std::string& where);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Nobody else may serve from it while this lasts: answers that are open are then nobody's, and can be gone on with.
  // Throws Taken (Resource) if somebody else does.
  void be_the_only_server();

  // Valid as long as this.
  Accounts accounts() { return Accounts(*session_); }

  // Conversations. Each is found by the account alone that it is of, and not once it was deleted.

  // Those that are pinned first, then the last changed.
  std::vector<ConversationHead> list(const std::string& account, int most, const Listing& listing = {});
  // All tags of its conversations, in order.
  std::vector<std::string> tags(const std::string& account);
  std::optional<Conversation> conversation(const std::string& account, const std::string& id);
  // Where all words that were typed are, a "quoted phrase" as a whole, and the last word as the beginning of one; of
  // each conversation what fits best, the best first.
  std::vector<Hit> search(const std::string& account, const std::string& typed, int most);
  // False if there is none.
  bool rename(const std::string& account, const std::string& id, const std::string& title);
  bool pin(const std::string& account, const std::string& id, bool pinned);
  // Out of the usual list; the next message brings it back.
  bool archive(const std::string& account, const std::string& id, bool archived);
  // In place of those that it has.
  bool set_tags(const std::string& account, const std::string& id, const std::vector<std::string>& tags);
  // Another conversation, `new_id`, that has what was said up to this answer. False if there is no such answer.
  bool duplicate(const std::string& account, const std::string& id, std::int64_t answer, const std::string& new_id,
                 Time now);
  // Of those whose first answer has ended, the last changed.
  std::optional<Unnamed> unnamed();
  // Gives it its name, unless somebody did.
  void name(const std::string& id, const std::string& title);
  // Takes it out of sight; restore() undoes that, until purge(). Answers that are open are interrupted.
  bool remove(const std::string& account, const std::string& id, Time now);
  bool restore(const std::string& account, const std::string& id);
  // Erases those that were removed before that time. Returns how many there were.
  std::int64_t purge(Time before);
  // Erases those that were changed before that time, unless an answer of theirs is being written.
  void forget(Time before);

  // With all there is of it, as of one instant.
  std::optional<WholeConversation> whole(const std::string& account, const std::string& id);
  // A conversation of another store, or of another program, under its id, or another if that is taken. False if all of
  // it is there already, under one of the two, and perhaps more; one that was removed is restored then, and true.
  // Conflict if there is no such account.
  bool add(const std::string& account, WholeConversation conversation);

  // Answers. Those that write one know its id; accounts do not matter to them.

  // Stores the question and, open, the answer to come. Conflict: the shown branch does not end with question.parent, an
  // answer there is still open, the conversation is another account's or removed, or the account is.
  AnswerId accept(const Question& question);
  // A gain of an answer that is not open (any more) is left out. What does not follow what was recorded is a Conflict.
  void record(std::span<const Gain> gains);
  // What is there of one that is open: how many tokens, and the number of the last event.
  std::pair<std::size_t, std::uint64_t> recorded(const AnswerId& answer);
  void pause(const AnswerId& answer, bool paused);
  // With what it gained last; Interrupted leaves it as it is. Without effect if it is over already.
  void end(const Gain& last, const Ending& ending);
  // The tokens of the conversation up to the answer that was generated last in it, prompt included; empty if there is
  // none, or they are of another tokenizer.
  Tokens last_tokens(const std::string& conversation, const std::string& tokenizer);
  // Those that are open or paused, in the order in which they were asked.
  std::vector<Unfinished> unfinished();
  // One that was interrupted is open again, for a model of this fingerprint. None if it is not interrupted (any more);
  // Conflict if its tokens are of another tokenizer.
  std::optional<Unfinished> reopen(const AnswerId& answer, const Fingerprint& fingerprint);
  // It is begun again: counted until it gains a token, or is forgiven.
  void resume(const AnswerId& answer);
  void forgive(const AnswerId& answer);

  // Whether what belongs together is together: throws base::Error (Internal), which says what is not.
  void check();

 private:
  std::unique_ptr<Session> session_;
  bool to_forget_ = false;  // something that was erased is still in the database's files
};

}  // namespace store
