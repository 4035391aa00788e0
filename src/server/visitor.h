// Who a request comes from, once that is known (authentication.h).
#pragma once

#include <optional>
#include <string>

#include "server/exchange.h"
#include "store/accounts.h"
#include "store/records.h"

namespace server {

using store::local_account;

struct Visitor {
  std::string account{};                  // whose conversations are read and written
  std::optional<store::Token> sign_in{};  // that of the browser, where that is how the account is known

  // Who shares turns with whom (engine::Asker::client): an account is one, wherever its requests come from. The
  // machine's own user stands for all who may come without one, who are told apart by their addresses.
  std::string client(const Request& request) const { return account == local_account ? request.client : account; }
  // Whose computed keys and values are found again by whom (engine::Asker::account): by the same account's requests
  // alone. The machine's own user's are those without one.
  std::string salt() const { return account == local_account ? "" : account; }
};

}  // namespace server
