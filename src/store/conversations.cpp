// Conversations and their messages, as people see them.
#include <algorithm>

#include "store/database.h"
#include "store/names.h"
#include "store/rows.h"
#include "store/schema.h"
#include "store/session.h"

namespace store {
namespace {

using base::Error;
using base::ErrorKind;
using soci::into;
using soci::use;

constexpr const char* head_columns = "id, title, created, changed, pinned, shown";

bool changes_a_row(soci::statement& update) {
  update.execute(true);
  return update.get_affected_rows() > 0;
}

}  // namespace

Database::Database(const std::string& where) : session_(std::make_unique<Session>(where)) { migrate(*session_); }

Database::~Database() = default;

void Database::be_the_only_server() { session_->be_the_only_server(); }

std::vector<ConversationHead> Database::list(const std::string& account, int most) {
  return session_->read([&] {
    std::vector<ConversationHead> heads;
    ConversationHead head;
    int pinned = 0;
    soci::statement query = (session_->sql.prepare << "select " << head_columns
                                                   << " from conversations where account = :account and deleted = 0"
                                                      " order by pinned desc, changed desc, id limit :most",
                             use(account), use(most), into(head.id), into(head.title), into(head.created),
                             into(head.changed), into(pinned), into(head.shown));
    query.execute();
    while (query.fetch()) {
      head.pinned = pinned != 0;
      heads.push_back(head);
    }
    return heads;
  });
}

std::optional<Conversation> conversation_in(Session& session, const std::string& account, const std::string& id) {
  soci::session& sql = session.sql;
  Conversation found;
  int pinned = 0;
  sql << "select " << head_columns << " from conversations where account = :account and id = :id and deleted = 0",
      use(account), use(id), into(found.id), into(found.title), into(found.created), into(found.changed), into(pinned),
      into(found.shown);
  if (!sql.got_data()) return std::nullopt;
  found.pinned = pinned != 0;

  Message message;
  std::string role, condition;
  soci::statement messages =
      (sql.prepare << "select number, parent, role, condition, thinking, text, asked, ended, "
                      "created from messages where conversation = :id order by number",
       use(id), into(message.number), into(message.parent), into(role), into(condition), into(message.thinking),
       into(message.text), into(message.asked), into(message.ended), into(message.created));
  messages.execute();
  while (messages.fetch()) {
    message.role = role_of(role);
    message.condition = condition_of(condition);
    found.messages.push_back(message);
  }
  // What those that are being written have gained so far.
  std::int64_t number = 0;
  std::string thinking, text;
  soci::statement gains = (sql.prepare << "select number, thinking, text from gains where conversation = :id "
                                          "order by number, first_token",
                           use(id), into(number), into(thinking), into(text));
  gains.execute();
  while (gains.fetch()) {
    const auto at = std::ranges::lower_bound(found.messages, number, {}, &Message::number);
    if (at == found.messages.end() || at->number != number) continue;
    at->thinking += thinking;
    at->text += text;
  }
  return found;
}

std::optional<Conversation> Database::conversation(const std::string& account, const std::string& id) {
  return session_->read_all([&] { return conversation_in(*session_, account, id); });
}

bool Database::rename(const std::string& account, const std::string& id, const std::string& title) {
  const std::string kept = storable(title);
  return session_->write([&] {
    soci::statement update = (session_->sql.prepare << "update conversations set title = :title where account = "
                                                       ":account and id = :id and deleted = 0",
                              use(kept), use(account), use(id));
    return changes_a_row(update);
  });
}

bool Database::pin(const std::string& account, const std::string& id, bool pinned) {
  const int value = pinned ? 1 : 0;
  return session_->write([&] {
    soci::statement update = (session_->sql.prepare << "update conversations set pinned = :pinned where account = "
                                                       ":account and id = :id and deleted = 0",
                              use(value), use(account), use(id));
    return changes_a_row(update);
  });
}

bool Database::remove(const std::string& account, const std::string& id, Time now) {
  return session_->write([&] {
    soci::statement update = (session_->sql.prepare << "update conversations set deleted = :now where account = "
                                                       ":account and id = :id and deleted = 0",
                              use(now), use(account), use(id));
    if (!changes_a_row(update)) return false;
    session_->sql << "update messages set condition = 'interrupted' where conversation = :id and condition in ('open', "
                     "'paused')",
        use(id);
    return true;
  });
}

bool Database::restore(const std::string& account, const std::string& id) {
  return session_->write([&] {
    soci::statement update = (session_->sql.prepare << "update conversations set deleted = 0 where account = "
                                                       ":account and id = :id and deleted <> 0",
                              use(account), use(id));
    return changes_a_row(update);
  });
}

std::int64_t Database::purge(Time before) {
  const std::int64_t purged = session_->write([&] {
    soci::statement erase =
        (session_->sql.prepare << "delete from conversations where deleted <> 0 and deleted < :before", use(before));
    erase.execute(true);
    return static_cast<std::int64_t>(erase.get_affected_rows());
  });
  to_forget_ = to_forget_ || purged > 0;
  if (to_forget_) to_forget_ = !forget_erased(*session_);
  return purged;
}

bool forget_erased(Session& session) {
  if (!session.is_sqlite()) return true;
  // The index keeps the words of what left it until its parts are merged, and the log of changes all that it changed.
  session.write([&] { session.sql << "insert into search (search) values ('optimize')"; });
  int busy = 1;
  session.read([&] { session.sql << "pragma wal_checkpoint(truncate)", into(busy); });
  return busy == 0;
}

void check_in(Session& session) {
  struct Rule {
    const char* violators;
    const char* what;
  };
  static constexpr Rule rules[] = {
      {"select count(*) from messages m where m.parent <> 0 and not exists (select 1 from messages p where "
       "p.conversation = m.conversation and p.number = m.parent and p.number < m.number)",
       "a message follows one that is not there"},
      {"select count(*) from conversations c where c.shown <> 0 and not exists (select 1 from messages m where "
       "m.conversation = c.id and m.number = c.shown)",
       "a conversation shows a message that is not there"},
      {"select count(*) from messages m where m.role = 'assistant' and not exists (select 1 from answers a where "
       "a.conversation = m.conversation and a.number = m.number)",
       "an answer is without its tokens"},
      {"select count(*) from messages where condition <> 'whole' and role <> 'assistant'", "a question is not whole"},
      {"select count(*) from messages where condition <> 'whole' and (ended <> '' or text <> '' or "
       "thinking <> '')",
       "an answer that has no end yet has one"},
      {"select count(*) from messages where role = 'assistant' and condition = 'whole' and ended = ''",
       "an answer that is whole has no end"},
      {"select count(*) from gains g join messages m on m.conversation = g.conversation and m.number = g.number "
       "where m.condition = 'whole'",
       "an answer gains text after its end"},
      {"select count(*) from gains g where g.first_token <> (select coalesce(sum(length(b.tokens)), 0) / 4 from gains "
       "b where b.conversation = g.conversation and b.number = g.number and b.first_token < g.first_token)",
       "what an answer gained has gaps"},
  };
  session.read_all([&] {
    for (const Rule& rule : rules) {
      std::int64_t violations = 0;
      session.sql << rule.violators, into(violations);
      if (violations > 0) throw Error(ErrorKind::Internal, "store", rule.what);
    }
    if (session.is_sqlite()) {
      std::string verdict;
      session.sql << "pragma integrity_check", into(verdict);
      if (verdict != "ok") throw Error(ErrorKind::Internal, "store", verdict);
    }
  });
}

void Database::check() { check_in(*session_); }

}  // namespace store
