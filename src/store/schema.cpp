#include "store/schema.h"

#include <array>
#include <span>

namespace store {
namespace {

// Times are milliseconds since 1970; what is JSON is the server's, and not looked into here. Each version's statements
// stay as they were when it came out: a database that was made by it goes on from there.

constexpr std::array version_1 = {
    "create table conversations ("
    "  id text primary key, account text not null, title text not null, created bigint not null, changed bigint not "
    "null,"
    "  pinned integer not null, deleted bigint not null, shown bigint not null)",  // deleted: when; 0: it is not
    "create index conversations_by_account on conversations (account, deleted, pinned, changed)",
    // A conversation's tree.
    "create table messages ("
    "  conversation text not null references conversations (id) on delete cascade, number bigint not null,"
    "  parent bigint not null, role text not null, condition text not null, thinking text not null, text text not null,"
    "  asked text not null, ended text not null, created bigint not null, primary key (conversation, number))",
    "create index messages_by_condition on messages (condition) where condition in ('open', 'paused')",
    // Of those that the model wrote: what they depend on, and their exact tokens.
    "create table answers ("
    "  conversation text not null, number bigint not null, settings text not null, tokenizer text not null,"
    "  whole text not null, prompt text not null, tokens text not null, vain_resumes integer not null, epoch integer "
    "not null,"
    "  primary key (conversation, number),"
    "  foreign key (conversation, number) references messages (conversation, number) on delete cascade)",
    // Of those that are being written: what was added to them each time they were recorded.
    "create table gains ("
    "  conversation text not null, number bigint not null, first_token bigint not null, tokens text not null,"
    "  thinking text not null, text text not null, last_event bigint not null, writing_seconds double precision not "
    "null,"
    "  thinking_seconds double precision not null, primary key (conversation, number, first_token),"
    "  foreign key (conversation, number) references answers (conversation, number) on delete cascade)",
};

constexpr std::array<std::span<const char* const>, schema_version> versions = {version_1};

int current_version(Session& session) {
  int tables = 0;
  session.sql << (session.is_sqlite() ? "select count(*) from sqlite_master where type = 'table' and name = 'schema'"
                                      : "select count(*) from information_schema.tables where table_schema = "
                                        "current_schema() and table_name = 'schema'"),
      soci::into(tables);
  if (tables == 0) {
    session.sql << "create table schema (version integer not null)";
    session.sql << "insert into schema (version) values (0)";
    return 0;
  }
  int version = 0;
  session.sql << "select version from schema", soci::into(version);
  return version;
}

}  // namespace

void migrate(Session& session) {
  session.write([&] {
    // Two programs that start at once on a new database do not both make its tables.
    if (!session.is_sqlite()) session.sql << "select pg_advisory_xact_lock(5103035)";
    const int version = current_version(session);
    if (version > schema_version) {
      throw base::Error("data", "it was written by a later version of this program",
                        "use that, or choose another folder with --data");
    }
    if (version == schema_version) return;
    for (std::size_t next = static_cast<std::size_t>(version); next < versions.size(); ++next) {
      for (const char* statement : versions[next]) session.sql << statement;
    }
    session.sql << "update schema set version = :version", soci::use(schema_version);
  });
}

}  // namespace store
