#include "store/session.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "store/closeness.h"
#include "store/database.h"

namespace store {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::ErrorKind;

// Seconds that a writer waits for another process to have written. Pages that are only read wait behind it.
constexpr int patience = 3;

bool is_address(std::string_view where) {
  return where.starts_with("postgresql://") || where.starts_with("postgres://");
}

// Its password is not for logs.
std::string without_password(const std::string& address) {
  std::string shown = address.substr(0, address.find('?'));  // parameters may have one too
  const std::size_t begin = shown.find("://") + 3;
  const std::size_t at = shown.rfind('@');
  const std::size_t colon = shown.find(':', begin);
  if (at != std::string::npos && colon < at) shown.erase(colon, at - colon);
  return shown;
}

Taken taken_by_another(const std::string& where) {
  return {ErrorKind::Resource, where, "another server or chat keeps its conversations there",
          "stop it, or choose another place with --data"};
}

// PostgreSQL's client brings forty libraries, which everybody else need not load.
const soci::backend_factory& postgres() {
  void* const library = ::dlopen("libsoci_postgresql.so.4.0", RTLD_NOW);
  void* const factory = library != nullptr ? ::dlsym(library, "factory_postgresql") : nullptr;
  if (factory == nullptr) {
    throw Error(ErrorKind::Resource, "PostgreSQL", "its client is not installed",
                "install Debian's package libsoci-postgresql4.0, or name a folder with --data");
  }
  return *reinterpret_cast<const soci::backend_factory* (*)()>(factory)();
}

struct Meaning {
  const char* why;
  const char* remedy;
};

Meaning meaning_of_sqlite(int result) {
  switch (result & 0xff) {  // the extended codes are in the bits above
    case SQLITE_FULL:
      return {"the disk is full", "free some space; nothing that was kept is lost"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {"it may not be written", "give this user the right to, or choose another folder with --data"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {"another program has locked it", "close that program, or try again"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {"it is damaged", "restore a backup of it, or choose another folder with --data"};
    case SQLITE_CANTOPEN:
      return {"it cannot be opened", "look at its folder's permissions, or choose another with --data"};
    case SQLITE_IOERR:
      return {"the disk reports an error", "look at the system's log"};
    case SQLITE_NOMEM:
      return {"memory ran out", "close other programs"};
    default:
      return {nullptr, nullptr};
  }
}

}  // namespace

Session::Session(const std::string& where) : where_(where), sqlite_(!is_address(where)) {
  if (where == in_memory) {
    static constexpr const char* settings[] = {"pragma foreign_keys = on", "pragma temp_store = memory"};
    connect(where, settings);
    return;
  }
  if (sqlite_) {
    open_folder(where);
    return;
  }
  where_ = without_password(where);
  try {
    sql.open(postgres(), where);
  } catch (const soci::soci_error& failure) {
    throw no_connection(failure);
  }
}

Session::Session(const SqliteFile& file) {
  static constexpr const char* settings[] = {"pragma journal_mode = memory", "pragma synchronous = off",
                                             "pragma foreign_keys = on"};
  open_file(file.path, settings);
}

Session::~Session() {
  if (lock_ >= 0) ::close(lock_);
}

bool Session::is_in_memory() const { return where_ == in_memory; }

void Session::be_the_only_server() {
  if (!sqlite_) {
    guarded([&] { lock_postgres(); });
    only_ = true;
    return;
  }
  if (is_in_memory()) return;
  lock_ = ::open((fs::path(folder_) / "lock").c_str(), O_CREAT | O_CLOEXEC | O_RDWR, 0600);
  if (lock_ < 0) {
    throw Error(base::kind_of_errno(errno), folder_, "it may not be written: " + std::string(std::strerror(errno)),
                "choose another with --data");
  }
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) throw taken_by_another(folder_);
}

void Session::lock_postgres() {
  int free = 0;
  sql << "select case when pg_try_advisory_lock(5103036) then 1 else 0 end", soci::into(free);
  if (free == 0) throw taken_by_another(where_);
}

void Session::open_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw Error(base::kind_of_errno(error.value()), folder, "this folder cannot be made: " + error.message(),
                "choose another with --data");
  }
  folder_ = folder;
  // A commit is on the disk when it returns; readers and the writer do not wait for each other.
  static constexpr const char* settings[] = {"pragma journal_mode = wal", "pragma synchronous = full",
                                             "pragma foreign_keys = on", "pragma secure_delete = on"};
  open_file((fs::path(folder) / "conversations.sqlite").string(), settings);
}

void Session::open_file(const std::string& file, std::span<const char* const> settings) {
  if (file.find('"') != std::string::npos) {
    throw Error(file, "a database may not have a quotation mark in its name", "choose another place");
  }
  // What people wrote is for nobody else's eyes; the files that SQLite adds get the same permissions. One that is there
  // is not opened: closing it would give up the locks that other connections of this process have on it.
  const int created = ::open(file.c_str(), O_CREAT | O_EXCL | O_CLOEXEC | O_RDONLY, 0600);
  if (created >= 0) ::close(created);
  connect(file, settings);
}

void Session::connect(const std::string& file, std::span<const char* const> settings) {
  where_ = file;
  try {
    sql.open(soci::sqlite3, "db=\"" + file + "\" timeout=" + std::to_string(patience));
    for (const char* setting : settings) sql << setting;
    // SOCI has SQLite's declarations in a namespace of its own.
    add_closeness(reinterpret_cast<sqlite3*>(static_cast<soci::sqlite3_session_backend&>(*sql.get_backend()).conn_));
  } catch (const soci::soci_error& failure) {
    throw as_error(failure);
  }
}

void Session::reconnect_if_lost() {
  if (sqlite_ || sql.is_connected()) return;
  try {
    sql.reconnect();
  } catch (const soci::soci_error& failure) {
    throw no_connection(failure);
  }
  if (only_) lock_postgres();  // the lock went with the connection
}

// SOCI does not say of what kind a failure to connect is.
Error Session::no_connection(const soci::soci_error& failure) const {
  std::string why = failure.get_error_message();  // on several lines
  std::erase(why, '\t');
  while (why.ends_with('\n')) why.pop_back();
  std::ranges::replace(why, '\n', ' ');
  return {ErrorKind::Resource, where_, "the database does not answer: " + why, "start it, or look at its address"};
}

Error Session::as_error(const soci::soci_error& failure) const {
  if (const auto* lite = dynamic_cast<const soci::sqlite3_soci_error*>(&failure)) {
    const Meaning meaning = meaning_of_sqlite(lite->result());
    if (meaning.why != nullptr) return {ErrorKind::Resource, where_, meaning.why, meaning.remedy};
  } else {
    switch (failure.get_error_category()) {
      case soci::soci_error::connection_error:
        return no_connection(failure);
      case soci::soci_error::no_privilege:
        return {ErrorKind::Resource, where_, "the database refuses this user: " + failure.get_error_message(),
                "look at the name and the password in its address"};
      case soci::soci_error::system_error:
        return {ErrorKind::Resource, where_, "the database reports: " + failure.get_error_message(), "look at its log"};
      default:
        break;
    }
  }
  return {ErrorKind::Internal, where_, failure.get_error_message()};
}

Session::Transaction::Transaction(Session& session, const char* begin) : session_(session) { session_.sql << begin; }

Session::Transaction::~Transaction() {
  if (over_) return;
  try {
    session_.sql << "rollback";
  } catch (const soci::soci_error&) {
    // There is nothing left to roll back: the connection is gone, or the database did it by itself.
  }
}

void Session::Transaction::commit() {
  session_.sql << "commit";
  over_ = true;
}

}  // namespace store
