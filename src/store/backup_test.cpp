#include "store/backup.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "store/database.h"
#include "store/export.h"
#include "store/random_conversation.h"
#include "store/session.h"
#include "store/test_place.h"

namespace store {
namespace {

namespace fs = std::filesystem;

std::string all_of(const std::string& where) {
  Database database(where);
  database.check();
  std::string text;
  for (const ConversationHead& head : database.list(local_account, 1000, {.shelf = Listing::Shelf::All})) {
    text += to_json(database.whole(local_account, head.id).value()) + "\n";
  }
  return text;
}

std::string error_of(const std::string& file, const std::string& where) {
  try {
    restore(file, where);
  } catch (const base::Error& error) {
    return error.what();
  }
  return {};
}

class Backups : public testing::Test {
 protected:
  Backups() { fs::create_directory(folder_); }
  ~Backups() override { fs::remove_all(folder_); }

  // Returns the answer, which is open.
  AnswerId ask(const std::string& where, const std::string& text) {
    Database database(where);
    const AnswerId answer =
        database.accept({.account = local_account, .conversation = random_id(random_), .text = text});
    database.record(std::vector<Gain>{{.answer = answer, .tokens = {5}, .text = "So"}});
    return answer;
  }

  std::mt19937 random_{std::random_device{}()};
  fs::path folder_ = fs::temp_directory_path() / ("smollm3_backups_" + random_id(random_));
  std::string file_ = (folder_ / "backup").string();
  // The second is SQLite's in any case: a backup goes from one kind of database to the other.
  TestPlace place_;
  std::string folder_place_ = (folder_ / "data").string();
};

TEST_F(Backups, BringAllBackInEitherDatabase) {
  Token key, sign_in;
  {
    Database database(place_.where());
    for (int i = 0; i < 300; ++i) database.add(local_account, random_conversation(random_));
    database.accounts().add("other", "hash", 1);
    database.add("other", random_conversation(random_));
    key = database.accounts().add_key("other", "for tests", 1);
    sign_in = database.accounts().sign_in("other", "hash", 1).value();
    database.remove(local_account, database.list(local_account, 1, {.shelf = Listing::Shelf::All}).at(0).id, 5);
  }
  const std::string before = all_of(place_.where());
  EXPECT_EQ(backup(place_.where(), file_), 301);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "nothing lies beside it";
  ask(folder_place_, "of before");
  EXPECT_EQ(restore(file_, folder_place_), 301);
  EXPECT_EQ(all_of(folder_place_), before);
  EXPECT_EQ(Database(folder_place_).list("other", 10, {.shelf = Listing::Shelf::All}).size(), 1u);
  EXPECT_EQ(Database(folder_place_).accounts().password_hash("other"), "hash");
  EXPECT_EQ(Database(folder_place_).accounts().account_of_key(key, 2), "other");
  EXPECT_EQ(Database(folder_place_).accounts().account_of_sign_in(sign_in, 2), "other");

  // And back.
  fs::remove(file_);
  backup(folder_place_, file_);
  ask(place_.where(), "of before");
  EXPECT_EQ(restore(file_, place_.where()), 301);
  EXPECT_EQ(all_of(place_.where()), before);
}

TEST_F(Backups, KeepWhatIsFoundAndNothingElse) {
  const AnswerId answer = ask(place_.where(), "needle");
  Database(place_.where()).end({.answer = answer, .first = 1, .text = " haystack"}, {.answer = answer, .ended = "{}"});
  backup(place_.where(), file_);
  ask(place_.where(), "another needle");
  restore(file_, place_.where());
  EXPECT_EQ(Database(place_.where()).search(local_account, "needle", 10).size(), 1u);
  EXPECT_EQ(Database(place_.where()).search(local_account, "haystack", 10).size(), 1u);
  EXPECT_TRUE(Database(place_.where()).search(local_account, "another", 10).empty());
}

TEST_F(Backups, HaveWhatIsBeingWrittenGoneOnWith) {
  const AnswerId answer = ask(place_.where(), "Why?");
  backup(place_.where(), file_);
  restore(file_, folder_place_);
  {
    Database database(folder_place_);
    ASSERT_EQ(database.unfinished().size(), 1u);
    EXPECT_EQ(database.unfinished()[0].said, std::vector<std::int32_t>{5});
  }
  // A server that runs knows nothing of it.
  Database server(folder_place_);
  server.be_the_only_server();
  restore(file_, folder_place_);
  EXPECT_TRUE(server.unfinished().empty());
  const auto there = server.conversation(local_account, answer.conversation);
  EXPECT_EQ(there->messages[1].condition, Condition::Interrupted);
  EXPECT_EQ(there->messages[1].text, "So");
  server.check();
}

TEST_F(Backups, ThatAreNoneChangeNothing) {
  ask(place_.where(), "Why?");
  const std::string before = all_of(place_.where());
  const std::string missing = error_of(file_, place_.where());
  EXPECT_EQ(missing.substr(0, file_.size() + 22), file_ + ": cannot be copied to ");
  EXPECT_NE(missing.find("No such file or directory; check the path"), std::string::npos);

  const std::string none = file_ + ": is no backup of conversations; name a file that 'smollm3 backup' wrote";
  std::ofstream(file_) << "not a database";
  EXPECT_EQ(error_of(file_, place_.where()), none);
  std::ofstream(file_, std::ios::trunc).close();
  EXPECT_EQ(error_of(file_, place_.where()), none);
  EXPECT_NE(error_of(folder_.string(), place_.where()), "");

  fs::remove(file_);
  backup(place_.where(), file_);
  Session(SqliteFile{file_}).sql << "update schema set version = 99";
  EXPECT_EQ(error_of(file_, place_.where()), file_ + ": was written by a later version of this program; use that");
  Session(SqliteFile{file_}).sql << "update schema set version = 1";
  Session(SqliteFile{file_}).sql << "update messages set parent = 7";
  EXPECT_EQ(error_of(file_, place_.where()),
            file_ + ": cannot be restored: a message follows one that is not there; use another backup");
  // One whose pages are damaged.
  fs::resize_file(file_, fs::file_size(file_) / 2);
  EXPECT_NE(error_of(file_, place_.where()), "");
  EXPECT_EQ(all_of(place_.where()), before);
}

}  // namespace
}  // namespace store
