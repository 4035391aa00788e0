// Accounts, from the sign-in to whose conversations are whose.
#include "server/sign_in.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/authentication.h"
#include "server/fake_exchange.h"
#include "server/test_models.h"
#include "store/database.h"

namespace server {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string id = "0123456789abcdef0123456789abcdef";
const std::string conversation = "/c/" + id;
const std::string question = R"({"messages":[{"role":"user","content":"What is 12 + 34?"}],"max_tokens":4})";

// What a request shows of who it is from.
struct Shown {
  std::string cookie{}, key{}, authorization{};
};

// Asked as from elsewhere, so that an account is needed; the accounts are made as the commands do it.
class SigningIn : public testing::Test {
 protected:
  SigningIn() { store.accounts().add("ann", store::hash_password("correct horse"), 1); }

  Site::Asked ask(const std::string& method, const std::string& path, const Shown& shown = {}, std::string body = {},
                  const std::string& origin = {}) {
    return site.ask({.method = method,
                     .client = client,
                     .path = path.substr(0, path.find('?')),
                     .query = path.find('?') == std::string::npos ? "" : path.substr(path.find('?') + 1),
                     .origin = origin,
                     .cookie = shown.cookie,
                     .authorization = shown.authorization,
                     .api_key = shown.key,
                     .forwarded = true,
                     .body = std::move(body)});
  }
  Site::Asked over(Site::Asked asked) {
    site.until_over(asked);
    return asked;
  }
  Site::Asked sign_in(const std::string& name, const std::string& password, const std::string& more = {}) {
    return over(ask("POST", "/sign-in", {}, "name=" + name + "&password=" + password + more));
  }
  std::string cookie_of(const Site::Asked& asked) {
    const std::string cookie = asked->header("Set-Cookie");
    return cookie.substr(0, cookie.find(';'));
  }
  Shown signed_in(const std::string& name = "ann", const std::string& password = "correct+horse") {
    return {.cookie = "theme=dark; " + cookie_of(sign_in(name, password))};
  }
  unsigned status(const std::string& path, const Shown& shown) {
    return over(ask("GET", path, shown))->response->status;
  }

  std::string client = "192.0.2.1";
  Site site{[] { return make_engine(demo_model()); }};
  store::Database store{site.place.where()};
};

TEST_F(SigningIn, APageLeadsToTheSignInAndBack) {
  const auto asked = over(ask("GET", conversation));
  EXPECT_EQ(asked->response->status, 303u);
  EXPECT_EQ(asked->header("Location"), "/sign-in?next=" + conversation);
  const auto form = over(ask("GET", asked->header("Location")));
  EXPECT_EQ(form->response->status, 200u);
  EXPECT_THAT(form->response->body, HasSubstr("name=\"next\" value=\"" + conversation + "\""));
  EXPECT_THAT(form->response->body, Not(HasSubstr("smollm3 user add")));
  const auto signed_in = sign_in("ann", "correct+horse", "&next=" + conversation);
  EXPECT_EQ(signed_in->response->status, 303u);
  EXPECT_EQ(signed_in->header("Location"), conversation);
  EXPECT_THAT(signed_in->header("Set-Cookie"), testing::EndsWith("; HttpOnly; SameSite=Lax"));
  const Shown shown{.cookie = cookie_of(signed_in)};
  const auto page = over(ask("GET", "/", shown));
  EXPECT_EQ(page->response->status, 200u);
  EXPECT_THAT(page->response->body, HasSubstr("action=\"/sign-out\""));
  EXPECT_THAT(page->response->body, HasSubstr("<span>ann</span>"));
  EXPECT_EQ(status("/v1/models", shown), 200u) << "one rule for page and API";
}

TEST_F(SigningIn, NobodyIsLedToAnotherSite) {
  for (const char* next : {"https://evil.example", "//evil.example", "/c/..", "/sign-out", "/c/0123", "x"}) {
    EXPECT_EQ(sign_in("ann", "correct+horse", "&next=" + std::string(next))->header("Location"), "/") << next;
  }
}

TEST_F(SigningIn, TheCookieOfHttpsIsForHttpsAlone) {
  const std::string body = "name=+Ann&password=correct+horse";  // as telephones write names
  EXPECT_THAT(over(ask("POST", "/sign-in", {}, body, "https://localhost"))->header("Set-Cookie"),
              testing::EndsWith("; HttpOnly; SameSite=Lax; Secure"));
  EXPECT_THAT(over(ask("POST", "/sign-in", {}, body, "http://localhost"))->header("Set-Cookie"),
              Not(HasSubstr("Secure")));
  EXPECT_EQ(over(ask("POST", "/sign-in", {}, body, "https://evil.example"))->response->status, 403u);
}

TEST_F(SigningIn, AWrongPasswordAndAnUnknownNameAreToldAlike) {
  const auto wrong = sign_in("ann", "wrong"), unknown = sign_in("bob", "wrong");
  for (const auto& one : {wrong, unknown, sign_in("local", ""), sign_in("", ""), sign_in("%ff", "x")}) {
    EXPECT_EQ(one->response->status, 403u);
    EXPECT_EQ(one->header("Set-Cookie"), "");
    EXPECT_THAT(one->response->body, HasSubstr("There is no such account, or its password is another."));
  }
  EXPECT_EQ(ask("POST", "/sign-in", {}, std::string(10000, 'x'))->response->status, 413u);
}

TEST_F(SigningIn, WhereThereAreNoAccountsThePageSaysHowToAddOne) {
  store.accounts().remove("ann");
  EXPECT_THAT(over(ask("GET", "/sign-in"))->response->body, HasSubstr("smollm3 user add NAME"));
}

TEST_F(SigningIn, TooManyWrongTriesHaveToWaitAndNobodyWhoIsSignedInDoes) {
  const Shown shown = signed_in();
  Site::Asked refused;
  for (int i = 0; i < 100 && !refused; ++i) {
    const auto asked = sign_in("ann", "wrong");
    if (asked->response->status == 429) refused = asked;
  }
  ASSERT_TRUE(refused);
  EXPECT_GT(std::stoi(refused->header("Retry-After")), 0);
  EXPECT_THAT(refused->response->body, HasSubstr("Too many wrong passwords. Wait "));
  EXPECT_EQ(sign_in("ann", "correct+horse")->response->status, 429u) << "nor is the right one tried";
  client = "192.0.2.2";
  EXPECT_EQ(sign_in("ann", "correct+horse")->response->status, 429u) << "from wherever";
  EXPECT_EQ(status("/", shown), 200u);
}

TEST_F(SigningIn, TooManyWrongKeysHaveToWaitAndAGoodOneDoesNot) {
  const Shown good{.key = key_text(store.accounts().add_key("ann", "", 1))};
  Site::Asked refused;
  for (int i = 0; i < 10000 && !refused; ++i) {
    const auto asked = over(ask("GET", "/v1/models", {.key = "wrong"}));
    if (asked->response->status == 429) refused = asked;
  }
  ASSERT_TRUE(refused);
  EXPECT_GT(std::stoi(refused->header("Retry-After")), 0);
  EXPECT_THAT(refused->response->body, HasSubstr("rate_limit_exceeded"));
  EXPECT_EQ(status("/v1/models", good), 200u);
}

TEST_F(SigningIn, SigningOutEndsThisOneOrAll) {
  const Shown first = signed_in(), second = signed_in(), third = signed_in();
  const auto out = over(ask("POST", "/sign-out", first));
  EXPECT_EQ(out->header("Location"), "/sign-in");
  EXPECT_THAT(out->header("Set-Cookie"), HasSubstr("Max-Age=0"));
  EXPECT_EQ(status("/", first), 303u);
  EXPECT_EQ(status("/", second), 200u);
  over(ask("POST", "/sign-out", second, "everywhere=1"));
  EXPECT_EQ(status("/", second), 303u);
  EXPECT_EQ(status("/", third), 303u);
  EXPECT_EQ(over(ask("POST", "/sign-out", third))->header("Location"), "/sign-in");
}

TEST_F(SigningIn, AKeyIsShownInEitherHeaderAndIsGoodUntilItIsRevoked) {
  const store::Token token = store.accounts().add_key("ann", "phone", 1);
  const std::string key = key_text(token);
  for (const Shown& shown :
       {Shown{.key = key}, Shown{.authorization = "Bearer " + key}, Shown{.authorization = "bearer  " + key}}) {
    EXPECT_EQ(status("/v1/models", shown), 200u);
    EXPECT_EQ(over(ask("POST", "/v1/chat/completions", shown, question))->response->status, 200u);
    EXPECT_EQ(status("/search", shown), 200u) << "one rule for page and API";
  }
  const std::string other = key_text(store::random_token());
  for (const Shown& shown :
       {Shown{}, Shown{.key = other}, Shown{.key = key + "0"}, Shown{.key = token.text()}, Shown{.authorization = key},
        Shown{.authorization = "Basic " + key}, Shown{.cookie = "smollm3-sign-in=" + token.text()},
        Shown{.cookie = signed_in().cookie, .key = other}}) {
    const auto asked = over(ask("POST", "/v1/chat/completions", shown, question));
    EXPECT_EQ(asked->response->status, 401u);
    EXPECT_EQ(asked->header("WWW-Authenticate"), "Bearer");
    EXPECT_THAT(asked->response->body,
                HasSubstr(R"("type":"invalid_request_error","param":null,"code":"invalid_api_key")"));
  }
  store.accounts().revoke_key(token.id);
  EXPECT_EQ(status("/v1/models", {.key = key}), 401u);
}

TEST_F(SigningIn, WhatTheCommandsDoCountsAtOnce) {
  const Shown before = signed_in();
  store.accounts().set_password("ann", store::hash_password("battery staple"));
  EXPECT_EQ(status("/", before), 303u);
  EXPECT_EQ(sign_in("ann", "correct+horse")->response->status, 403u);
  const Shown after = signed_in("ann", "battery+staple");
  EXPECT_EQ(status("/", after), 200u);
  store.accounts().remove("ann");
  EXPECT_EQ(status("/", after), 303u);
}

TEST_F(SigningIn, WhereOnlyThisMachinesUserCanComeNobodyIsAsked) {
  for (const char* path : {"/", "/search", "/v1/models"}) EXPECT_EQ(site.get(path)->response->status, 200u) << path;
  EXPECT_EQ(site.ask({.method = "GET", .path = "/v1/models", .authorization = "Bearer none"})->response->status, 200u)
      << "clients of the API must send some key";
  EXPECT_EQ(site.get("/sign-in")->header("Location"), "/");
  EXPECT_EQ(site.post("/sign-in", "name=ann&password=x")->header("Location"), "/");
  EXPECT_THAT(site.get("/")->response->body, Not(HasSubstr("sign-out")));
}

TEST_F(SigningIn, AnApiAnswerIsControlledByItsAccountAlone) {
  store.accounts().add("bob", store::hash_password("x"), 1);
  const Shown ann{.key = key_text(store.accounts().add_key("ann", "", 1))};
  const Shown bob{.key = key_text(store.accounts().add_key("bob", "", 1))};
  const auto stream = ask("POST", "/v1/chat/completions", ann,
                          R"({"messages":[{"role":"user","content":"Tell me a story."}],"stream":true})");
  site.until([&] { return stream->pieces > 0; });
  const std::size_t at = stream->sent.find("chatcmpl-");
  const std::string control = "/v1/chat/completions/" + stream->sent.substr(at, 9 + 24) + "/pause";
  EXPECT_EQ(over(ask("POST", control, bob))->response->status, 404u);
  EXPECT_EQ(over(ask("POST", control))->response->status, 401u);
  EXPECT_EQ(site.post(control, "")->response->status, 404u) << "nor by the machine's own user";
  const auto paused = over(ask("POST", control, ann));
  EXPECT_TRUE(paused->response->status == 202 || stream->over);  // it may have been faster
  stream->leave();
  site.until([&] { return stream->over; });
}

// Every route, with the ids of another's conversation, and without a sign-in.
TEST_F(SigningIn, AStrangerSeesAndTouchesNothingOfAnothers) {
  store.accounts().add("bob", store::hash_password("x"), 1);
  const Shown ann = signed_in(), bob = signed_in("bob", "x");
  EXPECT_EQ(ask("POST", conversation + "/messages", ann, "text=Tell+me+a+secret&after=0")->response->status, 200u);
  site.until_over(ask("GET", conversation + "/stream/2", ann));
  EXPECT_THAT(ask("GET", "/", ann)->response->body, HasSubstr("secret"));
  EXPECT_THAT(ask("GET", conversation, ann)->response->body, HasSubstr("secret"));

  EXPECT_THAT(ask("GET", "/", bob)->response->body, Not(HasSubstr("secret")));
  EXPECT_EQ(ask("GET", conversation, bob)->response->status, 404u);
  for (const char* search : {"/search", "/search?q=secret"}) {
    EXPECT_THAT(ask("GET", search, ann)->response->body, HasSubstr("secret"));
    EXPECT_THAT(ask("GET", search, bob)->response->body, Not(HasSubstr("secret")));
  }
  const auto stream = over(ask("GET", conversation + "/stream/2", bob));
  EXPECT_THAT(stream->sent, Not(HasSubstr("secret")));
  EXPECT_THAT(stream->sent, HasSubstr("deleted"));
  const std::string form = "title-" + id + "=x&tags-" + id + "=x&at=2";
  for (const char* action :
       {"rename", "pin", "unpin", "archive", "unarchive", "tags", "remove", "restore", "duplicate"}) {
    EXPECT_EQ(ask("POST", conversation + "/" + action, bob, form)->response->status, 404u) << action;
  }
  for (const char* action : {"stop", "pause", "resume", "continue"}) {
    EXPECT_EQ(ask("POST", conversation + "/" + action, bob)->response->status, 204u) << action;
  }
  EXPECT_EQ(ask("POST", conversation + "/messages", bob, "text=x&after=2")->response->status, 410u);
  EXPECT_EQ(ask("POST", conversation + "/messages", bob, "text=x&after=0")->response->status, 409u);

  const Shown nobody;
  for (const char* action : {"messages", "rename", "pin", "unpin", "archive", "unarchive", "tags", "remove", "restore",
                             "duplicate", "stop", "pause", "resume", "continue"}) {
    const auto asked = over(ask("POST", conversation + "/" + action, nobody, "text=x&after=2"));
    EXPECT_EQ(asked->response->status, 401u) << action;
    EXPECT_THAT(asked->response->body, HasSubstr("href=\"/sign-in\"")) << action;
  }
  for (const char* path : {"/search", "/search?q=secret", "/c/0123456789abcdef0123456789abcdef/stream/2", "/v1/models",
                           "/v1/models/x", "/v1/chat/completions", "/v1/nothing", "/nothing"}) {
    EXPECT_EQ(status(path, nobody), 401u) << path;
  }
  for (const char* path :
       {"/", "/temporary", "/c/0123456789abcdef0123456789abcdef", "/t/0123456789abcdef0123456789abcdef"}) {
    EXPECT_EQ(status(path, nobody), 303u) << path;
  }
  for (const char* path : {"/health", "/favicon.ico", "/assets/chat.css", "/sign-in"}) {
    EXPECT_EQ(status(path, nobody), 200u) << path;
  }
  EXPECT_THAT(ask("GET", conversation, ann)->response->body, HasSubstr("secret"));
  EXPECT_EQ(site.get(conversation)->response->status, 404u) << "neither does the machine's own user";
}

TEST_F(SigningIn, ATemporaryChatIsItsAccountsAlone) {
  store.accounts().add("bob", store::hash_password("x"), 1);
  const Shown ann = signed_in(), bob = signed_in("bob", "x");
  const std::string temporary = "/t/" + id;
  EXPECT_EQ(ask("POST", temporary + "/messages", ann, "text=Tell+me+a+secret&after=0")->response->status, 200u);
  site.until_over(ask("GET", temporary + "/stream/2", ann));
  EXPECT_THAT(ask("GET", temporary, ann)->response->body, HasSubstr("secret"));
  EXPECT_EQ(ask("GET", temporary, bob)->response->status, 404u);
  EXPECT_EQ(ask("GET", conversation, ann)->response->status, 404u);
  EXPECT_EQ(ask("POST", temporary + "/duplicate", bob, "at=2")->response->status, 404u);
  EXPECT_THAT(over(ask("GET", temporary + "/stream/2", bob))->sent, Not(HasSubstr("secret")));
  EXPECT_THAT(ask("GET", "/search?q=secret", ann)->response->body, Not(HasSubstr("secret</")));
}

TEST_F(SigningIn, AnotherAccountsWordsSaveNobodyTime) {
  store.accounts().add("bob", store::hash_password("x"), 1);
  const Shown ann{.key = key_text(store.accounts().add_key("ann", "", 1))};
  const Shown bob{.key = key_text(store.accounts().add_key("bob", "", 1))};
  std::string text;
  for (int i = 0; i < 100; ++i) text += " word";
  const auto cached = [&](const Shown& who, const std::string& salt = {}) {
    const auto asked = over(ask(
        "POST", "/v1/chat/completions", who,
        R"({"messages":[{"role":"user","content":")" + text + R"("}],"max_tokens":1,"cache_salt":")" + salt + "\"}"));
    return nlohmann::json::parse(asked->response->body)
        .at("usage")
        .at("prompt_tokens_details")
        .at("cached_tokens")
        .get<int>();
  };
  const int first = cached(ann);
  EXPECT_GT(cached(ann), first);
  EXPECT_EQ(cached(bob), first);
  EXPECT_EQ(cached(bob, "ann"), first);
  EXPECT_EQ(cached(ann, "of a guest of ann's"), first);
}

}  // namespace
}  // namespace server
