#include "server/access.h"

#include <gtest/gtest.h>

namespace server {
namespace {

Request request(const std::string& method, const std::string& path, const std::string& host,
                const std::string& origin = "", const std::string& site = "", const std::string& mode = "") {
  return {.method = method, .path = path, .host = host, .origin = origin, .fetch_site = site, .fetch_mode = mode};
}

bool passes(const AccessRules& rules, const Request& asked) { return !rules.refuse(asked).has_value(); }

TEST(Access, ReadsHosts) {
  EXPECT_EQ(host_name("localhost"), "localhost");
  EXPECT_EQ(host_name("LocalHost.:3000"), "localhost");
  EXPECT_EQ(host_name("127.0.0.1:80"), "127.0.0.1");
  EXPECT_EQ(host_name("[::1]:3000"), "::1");
  for (const char* broken : {"", ":80", "a:b", "a:80:80", "[::1", "[::1]x", "a b", "user@localhost", "localhost/x",
                             "localhost#.evil", "a:123456"}) {
    EXPECT_EQ(host_name(broken), std::nullopt) << broken;
  }
}

TEST(Access, OnLoopbackOnlyItsOwnNamesPass) {
  for (const char* bound : {"127.0.0.1", "localhost", "::1", "127.0.0.5"}) {
    const AccessRules rules(bound, {});
    for (const char* host : {"localhost:3000", "127.0.0.1:3000", "[::1]:3000", "localhost"}) {
      EXPECT_TRUE(passes(rules, request("GET", "/", host))) << bound << " " << host;
    }
    for (const char* host : {"evil.example", "evil.example:3000", "127.0.0.1.evil.example", "localhost.evil.example",
                             "192.168.1.5:3000", "", "0.0.0.0"}) {
      EXPECT_FALSE(passes(rules, request("GET", "/", host))) << bound << " " << host;
      EXPECT_FALSE(passes(rules, request("POST", "/v1/chat/completions", host, std::string("http://") + host)))
          << bound << " " << host;
    }
  }
  EXPECT_TRUE(passes(AccessRules("127.0.0.1", {"Chat.example"}), request("GET", "/", "chat.example")));
}

TEST(Access, ElsewhereAddressesPassAndForeignNamesDoNot) {
  const AccessRules rules("0.0.0.0", {});
  EXPECT_TRUE(passes(rules, request("GET", "/", "192.168.1.5:3000")));
  EXPECT_TRUE(passes(rules, request("GET", "/", "[fe80::1]:3000")));
  EXPECT_TRUE(passes(rules, request("GET", "/", "localhost:3000")));
  EXPECT_FALSE(passes(rules, request("GET", "/", "evil.example:3000")));
  EXPECT_TRUE(passes(AccessRules("chat.example", {}), request("GET", "/", "chat.example:3000")));
}

TEST(Access, PagesOfOtherSitesAreRefused) {
  const AccessRules rules("127.0.0.1", {});
  const std::string host = "127.0.0.1:3000";
  for (const char* path : {"/v1/chat/completions", "/c/0123456789abcdef0123456789abcdef/messages",
                           "/c/0123456789abcdef0123456789abcdef/stop"}) {
    EXPECT_TRUE(passes(rules, request("POST", path, host))) << path;  // curl and SDKs send no Origin
    EXPECT_TRUE(passes(rules, request("POST", path, host, "http://" + host, "same-origin", "cors"))) << path;
    for (const char* origin :
         {"http://evil.example", "https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:3001",
          "http://localhost:3000", "http://127.0.0.1:3000.evil.example", "file://"}) {
      EXPECT_FALSE(passes(rules, request("POST", path, host, origin))) << path << " " << origin;
    }
    EXPECT_FALSE(passes(rules, request("POST", path, host, "", "cross-site", "no-cors"))) << path;
    EXPECT_FALSE(passes(rules, request("POST", path, host, "", "same-site", "no-cors"))) << path;  // another port
  }
  EXPECT_FALSE(passes(rules, request("GET", "/v1/models", host, "http://evil.example", "cross-site", "cors")));
  EXPECT_FALSE(
      passes(rules, request("OPTIONS", "/v1/chat/completions", host, "http://evil.example", "cross-site", "cors")));
  EXPECT_FALSE(
      passes(rules, request("GET", "/c/0123456789abcdef0123456789abcdef/stream/0", host, "", "cross-site", "cors")));
  EXPECT_FALSE(passes(rules, request("GET", "/assets/chat.js", host, "", "cross-site", "no-cors")));
}

TEST(Access, LinksFromOtherSitesMayLeadHere) {
  const AccessRules rules("127.0.0.1", {});
  EXPECT_TRUE(passes(rules, request("GET", "/", "127.0.0.1:3000", "", "cross-site", "navigate")));
  EXPECT_TRUE(passes(rules, request("GET", "/health", "127.0.0.1:3000", "", "none", "navigate")));
  EXPECT_FALSE(passes(rules, request("POST", "/", "127.0.0.1:3000", "http://evil.example", "cross-site", "navigate")));
}

TEST(Access, OnlyWhoCanComeFromNowhereElseIsNotAsked) {
  const Request own = request("GET", "/", "localhost");
  Request forwarded = own;
  forwarded.forwarded = true;
  EXPECT_TRUE(AccessRules("127.0.0.1", {}).is_local(own));
  EXPECT_FALSE(AccessRules("127.0.0.1", {}).is_local(forwarded));
  EXPECT_FALSE(AccessRules("127.0.0.1", {}).need_accounts());
  for (const AccessRules& rules : {AccessRules("0.0.0.0", {}), AccessRules("127.0.0.1", {"chat.example"})}) {
    EXPECT_FALSE(rules.is_local(own));
    EXPECT_TRUE(rules.need_accounts());
  }
  const AccessRules insecure("0.0.0.0", {"chat.example"}, /*insecure=*/true);
  EXPECT_TRUE(insecure.is_local(own));
  EXPECT_TRUE(insecure.is_local(forwarded));
  EXPECT_FALSE(insecure.need_accounts());
}

TEST(Access, AProxyMaySpeakHttps) {
  const AccessRules rules("127.0.0.1", {"chat.example"});
  EXPECT_TRUE(passes(
      rules, request("POST", "/v1/chat/completions", "chat.example", "https://chat.example", "same-origin", "cors")));
}

}  // namespace
}  // namespace server
