// Who may talk to the server, and whether they are asked who they are. A page of another site, opened in the user's
// browser, must reach neither the chat nor the API: not by DNS rebinding (its own name made to resolve to this machine:
// Host tells), not by a form or a fetch (Origin and Sec-Fetch-Site tell).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/exchange.h"

namespace server {

// The host in "name", "name:port", "[::1]:port", lower-case and without brackets; nullopt if it is none of these.
std::optional<std::string> host_name(std::string_view host_header);

class AccessRules {
 public:
  // `host` is the address or name the server is bound to; `names` further ones it is called by. Bound to loopback, only
  // loopback's names and these pass; bound elsewhere also every address written as such (rebinding needs a name) and
  // the machine's own name. `insecure`: whoever comes is taken for the machine's own user.
  AccessRules(std::string_view host, const std::vector<std::string>& names, bool insecure = false);

  // Why the request must not be served, in one line, or nullopt if it may.
  std::optional<std::string> refuse(const Request& request) const;
  // Whether nobody is asked who he is: it came by the socket that the server's own user alone can
  // reach; or it can only come from this machine, as the server listens on loopback alone, has
  // no further name, and no proxy passed it on; or the server is insecure.
  bool is_local(const Request& request) const {
    return insecure_ || request.own_user || (loopback_ && !named_ && !request.forwarded);
  }
  // Whether no request can be local.
  bool need_accounts() const { return !insecure_ && (!loopback_ || named_); }

 private:
  bool host_allowed(const std::string& name) const;

  bool loopback_;
  bool named_;
  bool insecure_;
  std::vector<std::string> names_;
};

}  // namespace server
