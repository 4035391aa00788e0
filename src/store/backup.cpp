#include "store/backup.h"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "store/rows.h"
#include "store/schema.h"
#include "store/session.h"

namespace store {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::ErrorKind;
using soci::into;
using soci::use;

// What SQLite keeps in a file's header for whoever asks whose it is.
constexpr int application = 0x736C6D33;  // "slm3"

constexpr int rows_at_once = 200;

enum class Kind : std::uint8_t { Text, Integer, Real };

struct Column {
  const char* name;
  Kind kind = Kind::Text;
};

struct Table {
  const char* name;
  std::span<const Column> columns;
  const char* order;
};

constexpr Column accounts[] = {{"name"}, {"password"}, {"created", Kind::Integer}};
constexpr Column sign_ins[] = {{"id"}, {"account"}, {"digest"}, {"created", Kind::Integer}, {"used", Kind::Integer}};
constexpr Column api_keys[] = {
    {"id"}, {"account"}, {"digest"}, {"label"}, {"created", Kind::Integer}, {"used", Kind::Integer}};
constexpr Column conversations[] = {{"id"},
                                    {"account"},
                                    {"title"},
                                    {"named", Kind::Integer},
                                    {"created", Kind::Integer},
                                    {"changed", Kind::Integer},
                                    {"pinned", Kind::Integer},
                                    {"archived", Kind::Integer},
                                    {"deleted", Kind::Integer},
                                    {"shown", Kind::Integer}};
constexpr Column tags[] = {{"conversation"}, {"tag"}};
// Without their ids, by which the index alone knows them; in the order of these, which is that in which they came in.
constexpr Column messages[] = {{"conversation"},
                               {"number", Kind::Integer},
                               {"parent", Kind::Integer},
                               {"role"},
                               {"condition"},
                               {"thinking"},
                               {"text"},
                               {"asked"},
                               {"ended"},
                               {"created", Kind::Integer}};
constexpr Column answers[] = {{"conversation"},
                              {"number", Kind::Integer},
                              {"settings"},
                              {"tokenizer"},
                              {"whole"},
                              {"prompt"},
                              {"tokens"},
                              {"vain_resumes", Kind::Integer},
                              {"epoch", Kind::Integer}};
constexpr Column gains[] = {{"conversation"},
                            {"number", Kind::Integer},
                            {"first_token", Kind::Integer},
                            {"tokens"},
                            {"thinking"},
                            {"text"},
                            {"last_event", Kind::Integer},
                            {"writing_seconds", Kind::Real},
                            {"thinking_seconds", Kind::Real}};

// Those that others refer to come first.
constexpr std::array tables = {Table{"accounts", accounts, "name"},
                               Table{"sign_ins", sign_ins, "id"},
                               Table{"api_keys", api_keys, "id"},
                               Table{"conversations", conversations, "id"},
                               Table{"tags", tags, "conversation, tag"},
                               Table{"messages", messages, "id"},
                               Table{"answers", answers, "conversation, number"},
                               Table{"gains", gains, "conversation, number, first_token"}};

struct Cell {
  std::string text{};
  std::int64_t integer = 0;
  double real = 0;
};

std::string names_of(const Table& table, const char* before) {
  std::string names;
  for (const Column& column : table.columns) names += (names.empty() ? "" : ", ") + (before + std::string(column.name));
  return names;
}

// The rows of a table, one after the other. Within a transaction.
class Reader {
 public:
  Reader(Session& session, const Table& table, std::vector<Cell>& row) : session_(session), statement_(session.sql) {
    const std::string query = "select " + names_of(table, "") + " from " + table.name + " order by " + table.order;
    session_.read([&] {
      // PostgreSQL would send all rows at once.
      if (!session_.is_sqlite()) session_.sql << "declare all_rows cursor for " << query;
      for (std::size_t i = 0; i < row.size(); ++i) {
        if (table.columns[i].kind == Kind::Text) statement_.exchange(into(row[i].text));
        if (table.columns[i].kind == Kind::Integer) statement_.exchange(into(row[i].integer));
        if (table.columns[i].kind == Kind::Real) statement_.exchange(into(row[i].real));
      }
      statement_.alloc();
      statement_.prepare(session_.is_sqlite() ? query : "fetch " + std::to_string(rows_at_once) + " from all_rows");
      statement_.define_and_bind();
      statement_.execute();
    });
  }

  // False if there is none.
  bool next() {
    return session_.read([&] {
      if (statement_.fetch()) return true;
      if (session_.is_sqlite()) return false;
      statement_.execute();
      return statement_.fetch();
    });
  }

  void close() {
    if (!session_.is_sqlite()) session_.read([&] { session_.sql << "close all_rows"; });
  }

 private:
  Session& session_;
  soci::statement statement_;
};

void copy(Session& from, Session& to, const Table& table, const std::function<void()>& between) {
  std::vector<Cell> row(table.columns.size());
  soci::statement insert(to.sql);
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (table.columns[i].kind == Kind::Text) insert.exchange(use(row[i].text));
    if (table.columns[i].kind == Kind::Integer) insert.exchange(use(row[i].integer));
    if (table.columns[i].kind == Kind::Real) insert.exchange(use(row[i].real));
  }
  insert.alloc();
  insert.prepare("insert into " + std::string(table.name) + " (" + names_of(table, "") + ") values (" +
                 names_of(table, ":") + ")");
  insert.define_and_bind();
  Reader rows(from, table, row);
  while (rows.next()) {
    between();
    insert.execute(/*with_data_exchange=*/true);
  }
  rows.close();
}

std::int64_t conversations_in(Session& session) {
  std::int64_t count = 0;
  session.sql << "select count(*) from conversations", into(count);
  return count;
}

void clear(Session& session) {
  // Nobody adds what would be neither of before nor of the backup.
  if (!session.is_sqlite()) {
    session.sql << "lock table accounts, sign_ins, api_keys, conversations, messages, answers, gains in exclusive mode";
  }
  for (auto table = tables.rbegin(); table != tables.rend(); ++table) session.sql << "delete from " << table->name;
}

void index_all(Session& session, const std::function<void()>& between) {
  std::string conversation, text;
  std::int64_t number = 0;
  // By conversations, as the index is written to while this reads.
  std::vector<std::string> ids;
  soci::rowset<std::string> all = (session.sql.prepare << "select id from conversations order by changed, id");
  for (const std::string& id : all) ids.push_back(id);
  for (const std::string& id : ids) {
    between();
    std::vector<std::pair<std::int64_t, std::string>> texts;
    soci::statement query = (session.sql.prepare << "select number, text from messages where conversation = :id and "
                                                    "condition = 'whole' order by number",
                             use(id), into(number), into(text));
    query.execute();
    while (query.fetch()) texts.emplace_back(number, text);
    for (const auto& [of, body] : texts) index_message(session, id, of, body);
  }
}

// A copy of a backup, in a folder of its own.
class Copy {
 public:
  explicit Copy(const std::string& file) {
    std::string folder = (fs::temp_directory_path() / "smollm3-restore-XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) {
      throw Error(ErrorKind::Resource, folder, "this folder cannot be made", "name another place in TMPDIR");
    }
    folder_ = folder;
    std::error_code error;
    fs::copy_file(file, path(), error);
    if (!error) return;
    remove();
    throw Error(base::kind_of_errno(error.value()), file, "cannot be copied to " + folder + ": " + error.message(),
                "check the path, or name another place in TMPDIR");
  }
  ~Copy() { remove(); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  std::string path() const { return (folder_ / "backup.sqlite").string(); }

 private:
  void remove() const {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  fs::path folder_;
};

bool is_backup(const std::string& file) {
  try {
    int marked = 0;
    Session session{SqliteFile{file}};
    session.read([&] { session.sql << "pragma application_id", into(marked); });
    return marked == application;
  } catch (const Error&) {
    return false;  // it is of SQLite's, but not an SQLite file
  }
}

bool has_server(Session& session) {
  try {
    session.be_the_only_server();
    return false;
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

std::int64_t backup(const std::string& where, const std::string& file, const std::function<void()>& between) {
  Session from(where);
  migrate(from);
  Session to{SqliteFile{file}};
  migrate(to);
  return from.read_all([&] {
    return to.write([&] {
      clear(to);
      for (const Table& table : tables) copy(from, to, table, between);
      to.sql << "pragma application_id = " << application;
      return conversations_in(to);
    });
  });
}

std::int64_t restore(const std::string& file, const std::string& where, const std::function<void()>& between) {
  const Copy copied(file);
  if (!is_backup(copied.path())) {
    throw Error(file, "is no backup of conversations", "name a file that 'smollm3 backup' wrote");
  }
  Session from{SqliteFile{copied.path()}};
  try {
    migrate(from);
    check_in(from);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Input)
      throw Error(file, "was written by a later version of this program", "use that");
    throw Error(file, "cannot be restored: " + error.why(), "use another backup");
  }
  Session to(where);
  migrate(to);
  const bool served = has_server(to);
  const std::int64_t count = from.read_all([&] {
    return to.write([&] {
      clear(to);
      for (const Table& table : tables) copy(from, to, table, between);
      if (served) to.sql << "update messages set condition = 'interrupted' where condition in ('open', 'paused')";
      index_all(to, between);
      return conversations_in(to);
    });
  });
  forget_erased(to);
  return count;
}

}  // namespace store
