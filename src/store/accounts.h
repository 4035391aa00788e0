// Who may use a server, and how a server knows them: accounts with passwords, sign-ins of browsers, API keys. As
// Database, of which this is a part (Database::accounts): for one thread at a time, each function one transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/records.h"
#include "store/secrets.h"

namespace store {

class Session;

// A sign-in ends when it was not used for so long: 30 days.
inline constexpr Time sign_in_lifetime = Time{30} * 24 * 3600 * 1000;

// Throws base::Error unless an account may be called so: up to 64 lower-case letters, digits and . _ - @ of ASCII, the
// first a letter or a digit, and not as local_account, which is always there and which nobody signs in to.
void check_account_name(std::string_view name);

struct AccountSummary {
  std::string name{};
  Time created = 0;
  std::int64_t conversations = 0, keys = 0, sign_ins = 0;
};

struct ApiKey {
  std::string id{};
  std::string account{};
  std::string label{};
  Time created = 0;
  Time used = 0;  // last, give or take an hour; 0: never
};

class Accounts {
 public:
  explicit Accounts(Session& session) : session_(session) {}

  // Both throw base::Error for a name that none may have, Conflict if it is taken. `password_hash` is of
  // hash_password().
  void require_free(const std::string& name);
  void add(const std::string& name, const std::string& password_hash, Time now);
  // Ends all sign-ins of the account. Conflict if there is none, as of all that follow.
  void set_password(const std::string& name, const std::string& password_hash);
  // With its conversations, keys and sign-ins.
  void remove(const std::string& name);
  AccountSummary summary(const std::string& name, Time now);
  void require(const std::string& name);

  // By name, without local_account.
  std::vector<AccountSummary> list(Time now);
  bool has_any();
  // None where nobody can sign in under that name.
  std::optional<std::string> password_hash(const std::string& name);

  // A new sign-in, for whoever has shown the password of that hash; none if the account has another by now, or is gone.
  std::optional<Token> sign_in(const std::string& name, const std::string& password_hash, Time now);
  // The account of a sign-in or a key that is good; the use is noted.
  std::optional<std::string> account_of_sign_in(const Token& token, Time now);
  std::optional<std::string> account_of_key(const Token& token, Time now);
  void sign_out(const Token& sign_in);
  void sign_out_everywhere(const std::string& account);

  // The key is told this once alone.
  Token add_key(const std::string& account, const std::string& label, Time now);
  // In the order in which they were added.
  std::vector<ApiKey> keys();
  // False if there is none.
  bool revoke_key(const std::string& id);

 private:
  std::optional<std::string> account_of(const char* table, const Token& token, Time least_used, Time now);

  Session& session_;
};

}  // namespace store
