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

// Of a conversation, ready to be read into. Within a transaction, or for one statement.
class HeadReader {
 public:
  explicit HeadReader(const Session& session)
      : columns("c.id, c.title, c.created, c.changed, c.pinned, c.archived, c.shown, coalesce((select " +
                std::string(session.is_sqlite() ? "group_concat(t.tag, char(10))" : "string_agg(t.tag, chr(10))") +
                " from tags t where t.conversation = c.id), '')") {}

  void bind(soci::statement& query) {
    query.exchange(into(head_.id));
    query.exchange(into(head_.title));
    query.exchange(into(head_.created));
    query.exchange(into(head_.changed));
    query.exchange(into(pinned_));
    query.exchange(into(archived_));
    query.exchange(into(head_.shown));
    query.exchange(into(tags_));
  }
  // What the last row was.
  ConversationHead head() const {
    ConversationHead head = head_;
    head.pinned = pinned_ != 0;
    head.archived = archived_ != 0;
    for (std::size_t begin = 0; begin < tags_.size();) {
      const std::size_t end = std::min(tags_.find('\n', begin), tags_.size());
      head.tags.push_back(tags_.substr(begin, end - begin));
      begin = end + 1;
    }
    std::ranges::sort(head.tags);
    return head;
  }

  const std::string columns;

 private:
  ConversationHead head_;
  int pinned_ = 0, archived_ = 0;
  std::string tags_;
};

bool set_flag(Session& session, const std::string& flag, const std::string& account, const std::string& id,
              bool value) {
  const int number = value ? 1 : 0;
  return session.write([&] {
    soci::statement update = (session.sql.prepare << "update conversations set " << flag << " = :value where account = "
                                                  << ":account and id = :id and deleted = 0",
                              use(number), use(account), use(id));
    return affects_a_row(update);
  });
}

bool conversation_is(Session& session, const std::string& account, const std::string& id) {
  int there = 0;
  session.sql << "select count(*) from conversations where account = :account and id = :id and deleted = 0",
      use(account), use(id), into(there);
  return there != 0;
}

}  // namespace

Database::Database(const std::string& where) : session_(std::make_unique<Session>(where)) { migrate(*session_); }

Database::~Database() = default;

void Database::be_the_only_server() { session_->be_the_only_server(); }

std::vector<ConversationHead> Database::list(const std::string& account, int most, const Listing& listing) {
  return session_->read([&] {
    HeadReader reader(*session_);
    std::string which;
    if (!listing.tag.empty()) {
      which = " and exists (select 1 from tags t where t.conversation = c.id and t.tag = :tag)";
    } else if (listing.shelf != Listing::Shelf::All) {
      which = listing.shelf == Listing::Shelf::Archive ? " and c.archived = 1" : " and c.archived = 0";
    }
    soci::statement query(session_->sql);
    query.exchange(use(account));
    if (!listing.tag.empty()) query.exchange(use(listing.tag));
    query.exchange(use(most));
    reader.bind(query);
    query.alloc();
    query.prepare("select " + reader.columns + " from conversations c where c.account = :account and c.deleted = 0" +
                  which + " order by c.pinned desc, c.changed desc, c.id limit :most");
    query.define_and_bind();
    query.execute();
    std::vector<ConversationHead> heads;
    while (query.fetch()) heads.push_back(reader.head());
    return heads;
  });
}

std::vector<std::string> Database::tags(const std::string& account) {
  return session_->read([&] {
    std::vector<std::string> tags;
    std::string tag;
    soci::statement query =
        (session_->sql.prepare << "select distinct t.tag from tags t join conversations c on c.id = "
                                  "t.conversation where c.account = :account and c.deleted = 0",
         use(account), into(tag));
    query.execute();
    while (query.fetch()) tags.push_back(tag);
    std::ranges::sort(tags);
    return tags;
  });
}

std::optional<Conversation> conversation_in(Session& session, const std::string& account, const std::string& id) {
  soci::session& sql = session.sql;
  HeadReader reader(session);
  soci::statement head(sql);
  head.exchange(use(account));
  head.exchange(use(id));
  reader.bind(head);
  head.alloc();
  head.prepare("select " + reader.columns +
               " from conversations c where c.account = :account and c.id = :id and c.deleted = 0");
  head.define_and_bind();
  if (!head.execute(true)) return std::nullopt;
  Conversation found{reader.head(), {}};

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
    soci::statement update = (session_->sql.prepare << "update conversations set title = :title, named = 1 where "
                                                       "account = :account and id = :id and deleted = 0",
                              use(kept), use(account), use(id));
    return affects_a_row(update);
  });
}

bool Database::pin(const std::string& account, const std::string& id, bool pinned) {
  return set_flag(*session_, "pinned", account, id, pinned);
}

bool Database::archive(const std::string& account, const std::string& id, bool archived) {
  return set_flag(*session_, "archived", account, id, archived);
}

bool Database::set_tags(const std::string& account, const std::string& id, const std::vector<std::string>& tags) {
  return session_->write([&] {
    if (!conversation_is(*session_, account, id)) return false;
    session_->sql << "delete from tags where conversation = :id", use(id);
    insert_tags(*session_, id, tags);
    return true;
  });
}

std::optional<Unnamed> Database::unnamed() {
  return session_->read([&]() -> std::optional<Unnamed> {
    Unnamed found;
    session_->sql << "select c.id, c.account, q.text, a.text from conversations c join messages q on q.conversation = "
                     "c.id and q.number = 1 join messages a on a.conversation = c.id and a.number = 2 where c.named = "
                     "0 and c.deleted = 0 and a.condition = 'whole' order by c.changed desc limit 1",
        into(found.id), into(found.account), into(found.question), into(found.answer);
    if (!session_->sql.got_data()) return std::nullopt;
    return found;
  });
}

void Database::name(const std::string& id, const std::string& title) {
  const std::string kept = storable(title);
  session_->write([&] {
    session_->sql << "update conversations set title = :title, named = 1 where id = :id and named = 0", use(kept),
        use(id);
  });
}

bool Database::remove(const std::string& account, const std::string& id, Time now) {
  return session_->write([&] {
    soci::statement update = (session_->sql.prepare << "update conversations set deleted = :now where account = "
                                                       ":account and id = :id and deleted = 0",
                              use(now), use(account), use(id));
    if (!affects_a_row(update)) return false;
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
    return affects_a_row(update);
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

void Database::forget(Time before) {
  session_->write([&] {
    session_->sql << "delete from conversations where changed < :before and not exists (select 1 from messages m where "
                     "m.conversation = conversations.id and m.condition in ('open', 'paused'))",
        use(before);
  });
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
