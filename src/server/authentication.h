// Whose a request is: one rule for the page and the API. Where only this machine's own users can come (access.h) all
// are the local account's. Elsewhere a request shows an API key of an account, or the cookie of a sign-in (sign_in.h).
// Nothing is remembered here: the store is asked each time, so that what was added or revoked counts at once.
#pragma once

#include <string>

#include "server/access.h"
#include "server/exchange.h"
#include "server/try_limit.h"
#include "server/visitor.h"
#include "store/store.h"

namespace server {

// The value of the cookie that a sign-in is, and what sets it; `secure`: for https alone.
std::string sign_in_cookie(const store::Token& token, bool secure);
// Has the browser forget it.
std::string no_sign_in_cookie();

// An API key as its owner has it, in place of store::Token::text.
std::string key_text(const store::Token& token);

class Authentication {
 public:
  // Both must outlive this.
  Authentication(store::Store& store, const AccessRules& access);

  // Throws ApiError: 401 if the request does not say whose it is, or not truly; 429 where too many wrong keys came
  // from.
  Awaitable<Visitor> visitor_of(const Request& request);

 private:
  Awaitable<Visitor> owner_of_key(const Request& request, std::string key);

  store::Store& store_;
  const AccessRules& access_;
  TryLimit addresses_;  // that wrong keys came from
};

}  // namespace server
