#include "store/accounts.h"

#include "store/database.h"
#include "store/names.h"
#include "store/rows.h"
#include "store/session.h"

namespace store {
namespace {

using base::Error;
using soci::into;
using soci::use;

// How often it is noted that something was used: a write each time would be one for each request.
constexpr Time use_noted_every = Time{3600} * 1000;

constexpr std::size_t longest_name = 64;

Conflict no_account(const std::string& name) {
  return {"account '" + name + "'", "there is none of this name", "'smollm3 user list' has those there are"};
}

// `:least`: when a sign-in that is still good was used last, at the earliest.
constexpr const char* summaries =
    "select name, created, (select count(*) from conversations where account = name), (select count(*) from api_keys "
    "where account = name), (select count(*) from sign_ins where account = name and used >= :least) from accounts "
    "where password <> ''";

bool is_account_name(std::string_view name) {
  constexpr std::string_view first = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr std::string_view all = "abcdefghijklmnopqrstuvwxyz0123456789._-@";
  return !name.empty() && name.size() <= longest_name && first.find(name.front()) != std::string_view::npos &&
         name.find_first_not_of(all) == std::string_view::npos;
}

}  // namespace

void check_account_name(std::string_view name) {
  if (name == local_account) {
    throw Error("account 'local'", "this is the account of the machine's own user, who needs no password",
                "choose another name");
  }
  if (!is_account_name(name)) {
    throw Error("account '" + std::string(name) + "'", "this is no name for one",
                "a name has up to 64 lower-case letters, digits and . _ - @, and begins with a letter or a digit");
  }
}

void require_account(Session& session, const std::string& name) {
  int count = 0;
  session.sql << "select count(*) from accounts where name = :name", use(name), into(count);
  if (count == 0) throw no_account(name);
}

void Accounts::require(const std::string& name) {
  session_.read([&] { require_account(session_, name); });
}

void Accounts::require_free(const std::string& name) {
  check_account_name(name);
  if (!password_hash(name)) return;
  throw Conflict("account '" + name + "'", "there is one of this name already",
                 "choose another, or change its password with 'smollm3 user passwd " + name + "'");
}

void Accounts::add(const std::string& name, const std::string& password_hash, Time now) {
  require_free(name);
  const bool added = session_.write([&] {
    soci::statement insert = (session_.sql.prepare << "insert into accounts (name, password, created) values (:name, "
                                                      ":password, :created) on conflict do nothing",
                              use(name), use(password_hash), use(now));
    return affects_a_row(insert);
  });
  if (!added) require_free(name);  // somebody was faster
}

void Accounts::set_password(const std::string& name, const std::string& password_hash) {
  session_.write([&] {
    soci::statement update = (session_.sql.prepare << "update accounts set password = :password where name = :name and "
                                                      "password <> ''",
                              use(password_hash), use(name));
    if (!affects_a_row(update)) throw no_account(name);
    session_.sql << "delete from sign_ins where account = :name", use(name);
  });
}

void Accounts::remove(const std::string& name) {
  session_.write([&] {
    soci::statement erase =
        (session_.sql.prepare << "delete from accounts where name = :name and password <> ''", use(name));
    if (!affects_a_row(erase)) throw no_account(name);
  });
  forget_erased(session_);
}

AccountSummary Accounts::summary(const std::string& name, Time now) {
  for (AccountSummary& one : list(now)) {
    if (one.name == name) return std::move(one);
  }
  throw no_account(name);
}

std::vector<AccountSummary> Accounts::list(Time now) {
  return session_.read([&] {
    std::vector<AccountSummary> all;
    AccountSummary one;
    const Time least = now - sign_in_lifetime;
    soci::statement query = (session_.sql.prepare << summaries << " order by name", use(least), into(one.name),
                             into(one.created), into(one.conversations), into(one.keys), into(one.sign_ins));
    query.execute();
    while (query.fetch()) all.push_back(one);
    return all;
  });
}

bool Accounts::has_any() {
  int count = 0;
  session_.read([&] { session_.sql << "select count(*) from accounts where password <> ''", into(count); });
  return count > 0;
}

std::optional<std::string> Accounts::password_hash(const std::string& name) {
  if (!is_account_name(name)) return std::nullopt;  // PostgreSQL refuses what is no UTF-8
  return session_.read([&]() -> std::optional<std::string> {
    std::string hash;
    session_.sql << "select password from accounts where name = :name and password <> ''", use(name), into(hash);
    if (!session_.sql.got_data()) return std::nullopt;
    return hash;
  });
}

std::optional<Token> Accounts::sign_in(const std::string& name, const std::string& password_hash, Time now) {
  return session_.write([&]() -> std::optional<Token> {
    int count = 0;
    session_.sql << "select count(*) from accounts where name = :name and password = :hash", use(name),
        use(password_hash), into(count);
    if (count == 0) return std::nullopt;
    const Time least = now - sign_in_lifetime;
    session_.sql << "delete from sign_ins where used < :least", use(least);
    Token token = random_token();
    const std::string digest = digest_of(token);
    session_.sql << "insert into sign_ins (id, account, digest, created, used) values (:id, :account, :digest, "
                    ":created, :used)",
        use(token.id), use(name), use(digest), use(now), use(now);
    return token;
  });
}

std::optional<std::string> Accounts::account_of(const char* table, const Token& token, Time least_used, Time now) {
  std::string account, digest;
  Time used = 0;
  const bool good = session_.read([&] {
    session_.sql << "select account, digest, used from " << table << " where id = :id", use(token.id), into(account),
        into(digest), into(used);
    return session_.sql.got_data() && digest_matches(digest, token) && used >= least_used;
  });
  if (!good) return std::nullopt;
  if (now - used >= use_noted_every) {
    try {
      session_.write(
          [&] { session_.sql << "update " << table << " set used = :now where id = :id", use(now), use(token.id); });
    } catch (const Error&) {
      // Where nothing can be written now, what is there can be read all the same.
    }
  }
  return account;
}

std::optional<std::string> Accounts::account_of_sign_in(const Token& token, Time now) {
  return account_of("sign_ins", token, now - sign_in_lifetime, now);
}

std::optional<std::string> Accounts::account_of_key(const Token& token, Time now) {
  return account_of("api_keys", token, 0, now);
}

void Accounts::sign_out(const Token& sign_in) {
  session_.write([&] { session_.sql << "delete from sign_ins where id = :id", use(sign_in.id); });
}

void Accounts::sign_out_everywhere(const std::string& account) {
  session_.write([&] { session_.sql << "delete from sign_ins where account = :account", use(account); });
}

Token Accounts::add_key(const std::string& account, const std::string& label, Time now) {
  Token token = random_token();
  const std::string digest = digest_of(token), kept = storable(label);
  session_.write([&] {
    require_account(session_, account);
    session_.sql << "insert into api_keys (id, account, digest, label, created, used) values (:id, :account, :digest, "
                    ":label, :created, 0)",
        use(token.id), use(account), use(digest), use(kept), use(now);
  });
  return token;
}

std::vector<ApiKey> Accounts::keys() {
  return session_.read([&] {
    std::vector<ApiKey> all;
    ApiKey one;
    soci::statement query =
        (session_.sql.prepare << "select id, account, label, created, used from api_keys order by created, id",
         into(one.id), into(one.account), into(one.label), into(one.created), into(one.used));
    query.execute();
    while (query.fetch()) all.push_back(one);
    return all;
  });
}

bool Accounts::revoke_key(const std::string& id) {
  return session_.write([&] {
    soci::statement erase = (session_.sql.prepare << "delete from api_keys where id = :id", use(id));
    return affects_a_row(erase);
  });
}

}  // namespace store
