#include "store/accounts.h"

#include <gtest/gtest.h>

#include "store/database.h"
#include "store/test_place.h"

namespace store {
namespace {

constexpr Time day = Time{24} * 3600 * 1000;

class Account : public testing::Test {
 protected:
  Accounts accounts() { return database_.accounts(); }
  void converse(const std::string& account, const std::string& id) {
    const AnswerId answer = database_.accept({.account = account, .conversation = id, .text = "needle", .asked = "{}"});
    database_.end({.answer = answer, .tokens = {5}, .text = "So"}, {.answer = answer, .ended = "{}"});
  }
  void TearDown() override { database_.check(); }

  TestPlace place_;
  Database database_{place_.where()};
};

TEST(Secrets, APasswordIsKnownByItsHashAlone) {
  const std::string hash = hash_password("correct horse");
  EXPECT_EQ(hash.substr(0, 31), "$argon2id$v=19$m=65536,t=2,p=1$");
  EXPECT_NE(hash, hash_password("correct horse"));
  EXPECT_TRUE(password_matches(hash, "correct horse"));
  for (const char* wrong : {"", "Correct horse", "correct horse "}) EXPECT_FALSE(password_matches(hash, wrong));
  EXPECT_FALSE(password_matches("", ""));
  EXPECT_FALSE(password_matches("no hash", "no hash"));
}

// So that time does not tell whether there is an account.
TEST(Secrets, TheHashOfNoPasswordCostsWhatOthersCost) {
  const std::string none = hash_of_no_password(), some = hash_password("x");
  EXPECT_EQ(none.size(), some.size());
  EXPECT_EQ(none.substr(0, 31), some.substr(0, 31));
  EXPECT_FALSE(password_matches(none, ""));
}

TEST(Secrets, TokensAreOfOneForm) {
  const Token token = random_token();
  EXPECT_EQ(token.text().size(), 76u);
  const auto parsed = parse_token(token.text());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->id, token.id);
  EXPECT_EQ(parsed->secret, token.secret);
  EXPECT_NE(random_token().text(), token.text());
  for (const std::string& wrong : {std::string(), token.id, token.text() + "0", std::string(76, 'A')}) {
    EXPECT_FALSE(parse_token(wrong)) << wrong;
  }
  const std::string digest = digest_of(token);
  EXPECT_EQ(digest.find(token.secret), std::string::npos);
  EXPECT_TRUE(digest_matches(digest, token));
  EXPECT_FALSE(digest_matches(digest, {.id = token.id, .secret = random_token().secret}));
  EXPECT_FALSE(digest_matches("", token));
}

TEST_F(Account, NamesAreOfOneForm) {
  for (const char* good : {"a", "7", "ann", "ann.b-c_d", "ann@example.org"}) EXPECT_NO_THROW(check_account_name(good));
  for (const std::string& wrong : {std::string(), std::string("Ann"), std::string("a b"), std::string("-a"),
                                   std::string("a/b"), std::string("ä"), std::string("local"), std::string(65, 'a')}) {
    EXPECT_THROW(check_account_name(wrong), base::Error) << wrong;
    EXPECT_THROW(accounts().add(wrong, "hash", 1), base::Error) << wrong;
  }
}

TEST_F(Account, IsAddedListedAndRemovedWithAllThatIsIts) {
  EXPECT_FALSE(accounts().has_any());
  EXPECT_FALSE(accounts().password_hash("ann"));
  accounts().add("bob", "hash of bob", 2);
  accounts().add("ann", "hash of ann", 1);
  EXPECT_THROW(accounts().add("ann", "another", 3), Conflict);
  EXPECT_TRUE(accounts().has_any());
  EXPECT_EQ(accounts().password_hash("ann"), "hash of ann");
  EXPECT_FALSE(accounts().password_hash("\xff"));

  converse("ann", "a1");
  converse("ann", "a2");
  converse("bob", "b1");
  const Token key = accounts().add_key("ann", "phone", 3), other = accounts().add_key("bob", "", 3);
  const Token sign_in = accounts().sign_in("ann", "hash of ann", 4).value();
  const auto all = accounts().list(5);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "ann");
  EXPECT_EQ(all[0].created, 1);
  EXPECT_EQ(all[0].conversations, 2);
  EXPECT_EQ(all[0].keys, 1);
  EXPECT_EQ(all[0].sign_ins, 1);
  EXPECT_EQ(accounts().summary("bob", 5).conversations, 1);

  accounts().remove("ann");
  EXPECT_THROW(accounts().remove("ann"), Conflict);
  EXPECT_THROW(accounts().summary("ann", 5), Conflict);
  EXPECT_FALSE(accounts().password_hash("ann"));
  EXPECT_FALSE(accounts().account_of_key(key, 5));
  EXPECT_FALSE(accounts().account_of_sign_in(sign_in, 5));
  EXPECT_EQ(accounts().account_of_key(other, 5), "bob");
  EXPECT_THROW(converse("ann", "a3"), Conflict);
  // Whoever comes under that name later finds nothing.
  accounts().add("ann", "hash", 6);
  EXPECT_TRUE(database_.list("ann", 10).empty());
  EXPECT_TRUE(database_.search("ann", "needle", 10).empty());
  EXPECT_EQ(database_.search("bob", "needle", 10).size(), 1u);
}

TEST_F(Account, OfTheMachinesUserIsAlwaysThereAndNobodySignsInToIt) {
  EXPECT_FALSE(accounts().password_hash(local_account));
  EXPECT_FALSE(accounts().sign_in(local_account, "hash", 1));
  EXPECT_THROW(accounts().set_password(local_account, "hash"), Conflict);
  EXPECT_THROW(accounts().remove(local_account), Conflict);
  EXPECT_TRUE(accounts().list(1).empty());
  EXPECT_EQ(accounts().account_of_key(accounts().add_key(local_account, "", 1), 1), local_account);
}

TEST_F(Account, SignInsEndWhenTheyAreNotUsedForThirtyDays) {
  accounts().add("ann", "hash", 1);
  const Token used = accounts().sign_in("ann", "hash", 0).value();
  const Token unused = accounts().sign_in("ann", "hash", 0).value();
  EXPECT_EQ(accounts().account_of_sign_in(used, 29 * day), "ann");
  EXPECT_EQ(accounts().account_of_sign_in(used, 58 * day), "ann");
  EXPECT_FALSE(accounts().account_of_sign_in(unused, 31 * day));
  EXPECT_EQ(accounts().summary("ann", 58 * day).sign_ins, 1);
  EXPECT_FALSE(accounts().account_of_sign_in(used, 89 * day));
  accounts().sign_in("ann", "hash", 90 * day);
  EXPECT_EQ(accounts().summary("ann", 0).sign_ins, 1) << "those that have ended are erased";
}

TEST_F(Account, SignInsEndOneByOneAllTogetherOrWithTheirPassword) {
  accounts().add("ann", "hash", 1);
  accounts().add("bob", "hash", 1);
  const auto sign_in = [&] { return accounts().sign_in("ann", "hash", 1).value(); };
  const Token bobs = accounts().sign_in("bob", "hash", 1).value();
  const Token first = sign_in(), second = sign_in(), third = sign_in();
  EXPECT_FALSE(accounts().account_of_sign_in({.id = first.id, .secret = second.secret}, 1));
  EXPECT_FALSE(accounts().account_of_key(first, 1)) << "a sign-in is no key";
  accounts().sign_out(first);
  EXPECT_FALSE(accounts().account_of_sign_in(first, 1));
  EXPECT_EQ(accounts().account_of_sign_in(second, 1), "ann");
  accounts().sign_out_everywhere("ann");
  EXPECT_FALSE(accounts().account_of_sign_in(second, 1));
  EXPECT_FALSE(accounts().account_of_sign_in(third, 1));

  const Token last = sign_in();
  accounts().set_password("ann", "new hash");
  EXPECT_FALSE(accounts().account_of_sign_in(last, 1));
  EXPECT_FALSE(accounts().sign_in("ann", "hash", 1)) << "whose password was checked before it was changed";
  EXPECT_THROW(accounts().set_password("cleo", "hash"), Conflict);
  EXPECT_EQ(accounts().account_of_sign_in(bobs, 1), "bob");
}

TEST_F(Account, KeysAreListedWithTheirLastUseAndRevoked) {
  accounts().add("ann", "hash", 1);
  const Token key = accounts().add_key("ann", "phone", 1);
  const Token later = accounts().add_key(local_account, "", 2);
  EXPECT_THROW(accounts().add_key("cleo", "", 2), Conflict);
  ASSERT_EQ(accounts().keys().size(), 2u);
  EXPECT_EQ(accounts().keys()[0].id, key.id);
  EXPECT_EQ(accounts().keys()[0].account, "ann");
  EXPECT_EQ(accounts().keys()[0].label, "phone");
  EXPECT_EQ(accounts().keys()[0].used, 0);
  EXPECT_EQ(accounts().account_of_key(key, day), "ann");
  EXPECT_EQ(accounts().keys()[0].used, day);
  accounts().account_of_key(key, day + 5);
  EXPECT_EQ(accounts().keys()[0].used, day) << "it is not written each time";
  EXPECT_FALSE(accounts().account_of_key({.id = key.id, .secret = later.secret}, day));
  EXPECT_FALSE(accounts().account_of_sign_in(key, day)) << "a key is no sign-in";

  EXPECT_TRUE(accounts().revoke_key(key.id));
  EXPECT_FALSE(accounts().revoke_key(key.id));
  EXPECT_FALSE(accounts().account_of_key(key, day));
  EXPECT_EQ(accounts().account_of_key(later, day), local_account);
}

// As the commands and a server have it.
TEST_F(Account, IsSeenByAllWhoHaveTheDatabaseOpenAtOnce) {
  Database other(place_.where());
  accounts().add("ann", "hash", 1);
  const Token key = other.accounts().add_key("ann", "", 1);
  EXPECT_EQ(accounts().account_of_key(key, 1), "ann");
  other.accounts().revoke_key(key.id);
  EXPECT_FALSE(accounts().account_of_key(key, 1));
  const Token sign_in = accounts().sign_in("ann", "hash", 1).value();
  other.accounts().remove("ann");
  EXPECT_FALSE(accounts().account_of_sign_in(sign_in, 1));
}

}  // namespace
}  // namespace store
