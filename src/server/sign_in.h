// The page where people sign in, and how they sign out. Plain forms, which need no JavaScript.
#pragma once

#include <string>

#include "server/access.h"
#include "server/exchange.h"
#include "server/password_checks.h"
#include "server/try_limit.h"
#include "server/visitor.h"
#include "store/store.h"

namespace server {

class SignIn {
 public:
  // Both must outlive this.
  SignIn(store::Store& store, const AccessRules& access);

  // GET /sign-in?next=PATH: where to go from there, a page of the chat.
  Awaitable<void> page(Exchange& exchange);
  // POST /sign-in, with a name and a password. A wrong one costs as long whether there is such an account or not. Too
  // many wrong ones, of a name or from an address, have to wait; who is signed in already never does.
  Awaitable<void> sign_in(Exchange& exchange);
  // POST /sign-out, with `everywhere` all browsers of the account.
  Awaitable<void> sign_out(Exchange& exchange, const Visitor& visitor);

  // The address of the page; from there it goes on to `next`, if that is a conversation.
  static std::string address(const std::string& next);

 private:
  Awaitable<Response> checked(const Request& request);

  store::Store& store_;
  const AccessRules& access_;
  TryLimit names_, addresses_;  // of wrong passwords
  PasswordChecks checks_;
};

}  // namespace server
