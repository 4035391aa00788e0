// Whose conversations a request is about. Where nobody but this machine's own users can reach the server, all are
// one's. Elsewhere each browser has those that it began, by a secret in a cookie, and sees no others.
#pragma once

#include <optional>
#include <string>

#include "server/access.h"
#include "server/exchange.h"
#include "store/records.h"

namespace server {

using store::local_account;

struct Visitor {
  std::string account{};
  std::optional<std::string> cookie{};  // Set-Cookie: of a guest, whose secret is good for another year from now on

  // As the engine has it: what one computed another may not find (engine::Asker::account); the machine's own user
  // shares it with the API and the terminal.
  // Who shares turns with whom (engine::Asker::client): a guest is one, also behind a proxy, where all have its
  // address.
  std::string client(const Request& request) const { return account == local_account ? request.client : account; }
  // As the engine has it: what one computed another may not find (engine::Asker::account); the machine's own user
  // shares it with the API and the terminal.
  std::string salt() const { return account == local_account ? "" : account; }
};

Visitor visitor_of(const Request& request, const AccessRules& rules);

}  // namespace server
