#include "server/visitor.h"

#include <algorithm>
#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <string_view>

#include "server/http_text.h"

namespace server {
namespace {

constexpr std::string_view name = "smollm3-guest";
constexpr std::size_t digits = 32;

// The value of a cookie of ours; empty if there is none that could be.
std::string secret_in(std::string_view cookies) {
  while (!cookies.empty()) {
    const std::size_t end = cookies.find(';');
    std::string_view one = cookies.substr(0, end);
    cookies.remove_prefix(end == std::string_view::npos ? cookies.size() : end + 1);
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    if (!one.starts_with(name) || one.size() != name.size() + 1 + digits || one[name.size()] != '=') continue;
    const std::string_view value = one.substr(name.size() + 1);
    if (value.find_first_not_of("0123456789abcdef") == std::string_view::npos) return std::string(value);
  }
  return {};
}

// Whoever reads the database cannot say that he is them.
std::string hash_of(const std::string& secret) {
  return boost::uuids::to_string(boost::uuids::name_generator_sha1(boost::uuids::ns::oid())(secret));
}

}  // namespace

Visitor visitor_of(const Request& request, const AccessRules& rules) {
  if (request.own_user || rules.is_local(request)) return {.account = local_account};
  std::string secret = secret_in(request.cookie);
  if (secret.empty()) secret = random_hex(digits / 2);
  return {.account = "guest-" + hash_of(secret),
          .cookie = std::string(name) + "=" + secret + "; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"};
}

}  // namespace server
