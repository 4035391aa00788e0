#include "server/authentication.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string_view>

#include "server/api_error.h"
#include "server/on_store.h"
#include "server/saved_answer.h"

namespace server {
namespace {

constexpr std::string_view cookie_name = "smollm3-sign-in";
constexpr std::string_view key_prefix = "sk-smollm3-";
constexpr TryLimit::Rate wrong_keys_of_address{.at_once = 30, .each = std::chrono::seconds(10)};
// As long as browsers keep any. How long a sign-in lasts is the store's to say.
constexpr int cookie_seconds = 400 * 24 * 3600;

std::optional<store::Token> token_in(std::string_view cookies) {
  while (!cookies.empty()) {
    const std::size_t end = cookies.find(';');
    std::string_view one = cookies.substr(0, end);
    cookies.remove_prefix(end == std::string_view::npos ? cookies.size() : end + 1);
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    if (!one.starts_with(cookie_name) || one.size() <= cookie_name.size() || one[cookie_name.size()] != '=') continue;
    if (auto token = store::parse_token(one.substr(cookie_name.size() + 1))) return token;
  }
  return std::nullopt;
}

std::string cookie_text(const std::string& value, int seconds) {
  return std::string(cookie_name) + "=" + value + "; Path=/; Max-Age=" + std::to_string(seconds) +
         "; HttpOnly; SameSite=Lax";
}

// "Bearer KEY", whose first word may be written in any way.
std::string_view bearer_of(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (authorization.size() < scheme.size()) return {};
  const bool bears = std::equal(scheme.begin(), scheme.end(), authorization.begin(), [](char one, char other) {
    return one == (other >= 'A' && other <= 'Z' ? other + 32 : other);
  });
  if (!bears) return {};
  authorization.remove_prefix(scheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

std::optional<store::Token> token_of_key(std::string_view key) {
  if (!key.starts_with(key_prefix)) return std::nullopt;
  return store::parse_token(key.substr(key_prefix.size()));
}

}  // namespace

std::string sign_in_cookie(const store::Token& token, bool secure) {
  return cookie_text(token.text(), cookie_seconds) + (secure ? "; Secure" : "");
}

std::string no_sign_in_cookie() { return cookie_text("", 0); }

std::string key_text(const store::Token& token) { return std::string(key_prefix) + token.text(); }

Authentication::Authentication(store::Store& store, const AccessRules& access)
    : store_(store), access_(access), addresses_(wrong_keys_of_address) {}

Awaitable<Visitor> Authentication::owner_of_key(const Request& request, std::string key) {
  std::optional<std::string> account;
  if (const auto token = token_of_key(key)) {
    auto find = [token = *token](store::Database& database) {
      return database.accounts().account_of_key(token, now());
    };
    account = co_await on_store(store_, std::move(find));
  }
  if (account) co_return Visitor{.account = *account};
  const auto wait = addresses_.take(request.client, std::chrono::steady_clock::now());
  if (wait.count() > 0) {
    ApiError error(429, "too many wrong API keys came from your address", {}, "rate_limit_exceeded");
    error.retry_after = static_cast<unsigned>(wait.count());
    throw error;
  }
  throw ApiError(401, "this API key is wrong, or was revoked; 'smollm3 key add' makes one", {}, "invalid_api_key");
}

Awaitable<Visitor> Authentication::visitor_of(const Request& request) {
  if (access_.is_local(request)) co_return Visitor{.account = local_account};
  std::string key(bearer_of(request.authorization));
  if (key.empty()) key = request.api_key;
  if (!key.empty()) co_return co_await owner_of_key(request, std::move(key));
  if (const auto token = token_in(request.cookie)) {
    auto find = [token = *token](store::Database& database) {
      return database.accounts().account_of_sign_in(token, now());
    };
    const auto account = co_await on_store(store_, std::move(find));
    if (account) co_return Visitor{.account = *account, .sign_in = token};
  }
  throw ApiError(401,
                 "this needs an account: send an API key as 'Authorization: Bearer KEY' or 'x-api-key: KEY'; 'smollm3 "
                 "key add' makes one",
                 {}, "invalid_api_key");
}

}  // namespace server
