#include "server/sign_in.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "server/assets.h"
#include "server/authentication.h"
#include "server/chat.h"
#include "server/http_text.h"
#include "server/on_store.h"
#include "server/saved_answer.h"
#include "server/views.h"

namespace server {
namespace {

using namespace std::chrono_literals;

constexpr TryLimit::Rate tries_of_name{.at_once = 10, .each = 30s};
constexpr TryLimit::Rate tries_of_address{.at_once = 30, .each = 10s};

// Nobody else's: a form may say any address.
std::string own_page(const std::string& path) {
  const bool conversation = path.starts_with("/c/") && Chat::is_id(std::string_view(path).substr(3));
  return conversation ? path : "/";
}

Response redirect(const std::string& to, Headers headers = {}) {
  headers.emplace_back("Location", to);
  headers.emplace_back("Cache-Control", "no-store");
  return {.status = 303, .headers = std::move(headers)};
}

// As it was typed, on a telephone with a capital letter perhaps.
std::string name_of(std::string_view typed) {
  std::string name;
  for (const char letter : typed) {
    if (letter == ' ') continue;
    name += letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  }
  return name;
}

std::string minutes_and_seconds(std::chrono::seconds time) {
  const auto seconds = time.count();
  return seconds < 120 ? fmt::format("{} s", seconds) : fmt::format("{} minutes", (seconds + 59) / 60);
}

struct Form {
  std::string name{};
  std::string next{};
  std::string message{};
  bool no_accounts = false;
};

Response form_page(unsigned status, const Form& form, Headers headers = {}) {
  return html(status,
              render_template("sign_in.jinja", {{"assets", asset_urls()},
                                                {"name", form.name},
                                                {"next", form.next},
                                                {"message", form.message},
                                                {"no_accounts", form.no_accounts}}),
              std::move(headers));
}

}  // namespace

SignIn::SignIn(store::Store& store, const AccessRules& access)
    : store_(store), access_(access), names_(tries_of_name), addresses_(tries_of_address) {}

std::string SignIn::address(const std::string& next) {
  const std::string page = own_page(next);
  return page == "/" ? "/sign-in" : "/sign-in?next=" + page;
}

Awaitable<void> SignIn::page(Exchange& exchange) {
  const Request& request = exchange.request();
  Response response;
  const std::string next = own_page(parse_form(request.query)["next"]);
  if (access_.is_local(request)) {
    response = redirect(next);
  } else {
    const bool any = co_await on_store(store_, [](store::Database& database) { return database.accounts().has_any(); });
    response = form_page(200, {.next = next, .no_accounts = !any});
  }
  co_await exchange.respond(std::move(response));
}

Awaitable<void> SignIn::sign_in(Exchange& exchange) {
  const Request& request = exchange.request();
  Response response;
  if (access_.is_local(request)) {
    response = redirect("/");
  } else {
    response = co_await checked(request);
  }
  co_await exchange.respond(std::move(response));
}

Awaitable<Response> SignIn::checked(const Request& request) {
  std::map<std::string, std::string> fields = parse_form(request.body);
  const std::string name = name_of(fields["name"]);
  Form form{.name = name, .next = own_page(fields["next"])};

  const auto began = std::chrono::steady_clock::now();
  std::chrono::seconds wait = addresses_.take(request.client, began);
  if (wait == 0s) {
    wait = names_.take(name, began);
    if (wait > 0s) addresses_.give_back(request.client);
  }
  if (wait > 0s) {
    form.message = "Too many wrong passwords. Wait " + minutes_and_seconds(wait) + ", and try again.";
    co_return form_page(429, form, {{"Retry-After", std::to_string(wait.count())}});
  }

  auto find = [name](store::Database& database) { return database.accounts().password_hash(name); };
  const std::optional<std::string> hash = co_await on_store(store_, std::move(find));
  const bool right = co_await checks_.matches(hash.value_or(store::hash_of_no_password()), fields["password"]);
  std::optional<store::Token> token;
  if (right && hash) {
    auto sign_in = [name, hash = *hash](store::Database& database) {
      return database.accounts().sign_in(name, hash, now());
    };
    token = co_await on_store(store_, std::move(sign_in));
  }
  if (!token) {
    form.message = "There is no such account, or its password is another.";
    co_return form_page(403, form);
  }
  addresses_.give_back(request.client);
  names_.give_back(name);
  // Browsers say where the form was from; a proxy in front may have spoken https with them.
  const bool secure = request.origin.starts_with("https://");
  co_return redirect(form.next, {{"Set-Cookie", sign_in_cookie(*token, secure)}});
}

Awaitable<void> SignIn::sign_out(Exchange& exchange, const Visitor& visitor) {
  if (visitor.sign_in) {
    const bool everywhere = parse_form(exchange.request().body).contains("everywhere");
    auto end = [visitor, everywhere](store::Database& database) {
      if (everywhere) {
        database.accounts().sign_out_everywhere(visitor.account);
      } else {
        database.accounts().sign_out(*visitor.sign_in);
      }
    };
    co_await on_store(store_, std::move(end));
  }
  Response response = redirect("/sign-in", {{"Set-Cookie", no_sign_in_cookie()}});
  co_await exchange.respond(std::move(response));
}

}  // namespace server
