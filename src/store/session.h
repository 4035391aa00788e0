// A connection to the database, which of the two it is, and what its failures mean. For the store's own files.
#pragma once

#include <soci/soci.h>

#include <concepts>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace store {

// A file that nobody else opens, and that is written as a whole or not at all: without files beside it, and on the disk
// when whoever wrote it says so.
struct SqliteFile {
  std::string path;
};

class Session {
 public:
  // `where`: a folder, which is created (SQLite), an address postgresql://…, or in_memory. Throws base::Error.
  explicit Session(const std::string& where);
  explicit Session(const SqliteFile& file);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  ~Session();

  // Nobody else may, while this lasts. Throws Taken if somebody else has.
  void be_the_only_server();

  soci::session sql;
  bool is_sqlite() const { return sqlite_; }
  bool is_in_memory() const;
  // What follows a SELECT of rows that the same transaction is going to change.
  const char* for_update() const { return sqlite_ ? "" : " for update"; }

  // All run `work` and turn what the database throws into base::Error. read(): one statement. read_all(): several,
  // which see the database as of one instant. write(): as one transaction, which is there whole and for good once it
  // returns, or not at all.
  template <std::invocable Work>
  auto read(Work work) {
    return guarded([&] { return work(); });
  }
  template <std::invocable Work>
  auto read_all(Work work) {
    return in_transaction(sqlite_ ? "begin" : "begin isolation level repeatable read read only", std::move(work));
  }
  // SQLite: the right to write is taken at once, so that what is read is not out of date when it is written.
  template <std::invocable Work>
  auto write(Work work) {
    return in_transaction(sqlite_ ? "begin immediate" : "begin", std::move(work));
  }

 private:
  class Transaction {
   public:
    Transaction(Session& session, const char* begin);
    ~Transaction();
    void commit();

   private:
    Session& session_;
    bool over_ = false;
  };

  template <std::invocable Work>
  auto in_transaction(const char* begin, Work work) {
    return guarded([&] {
      Transaction transaction(*this, begin);
      if constexpr (std::is_void_v<decltype(work())>) {
        work();
        transaction.commit();
      } else {
        auto result = work();
        transaction.commit();
        return result;
      }
    });
  }

  template <std::invocable Work>
  auto guarded(Work work) {
    try {
      reconnect_if_lost();
      return work();
    } catch (const soci::soci_error& failure) {
      throw as_error(failure);
    }
  }
  void reconnect_if_lost();
  void lock_postgres();
  base::Error no_connection(const soci::soci_error& failure) const;
  base::Error as_error(const soci::soci_error& failure) const;
  void open_folder(const std::string& folder);
  void open_file(const std::string& file, std::span<const char* const> settings);
  void connect(const std::string& file, std::span<const char* const> settings);

  std::string where_;
  std::string folder_;  // of SQLite; empty: it is in memory, or a file
  bool sqlite_ = true;
  int lock_ = -1;      // an open file
  bool only_ = false;  // the only server on PostgreSQL
};

}  // namespace store
