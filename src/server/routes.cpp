#include "server/routes.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <optional>

#include "server/api_error.h"
#include "server/assets.h"
#include "server/completions.h"
#include "server/http_text.h"
#include "server/local_api.h"
#include "server/views.h"

namespace server {
namespace {

using nlohmann::ordered_json;

// Bytes of a body that is not the API's: a form has up to twelve for each character.
constexpr std::size_t most_form = 12 * most_text + 4096;
constexpr std::size_t most_sign_in_form = 8192;

bool is_api(const std::string& path) {
  return path == "/v1" || path.starts_with("/v1/") || path.starts_with("/local/");
}

// What shows nothing of anybody's, and is there before one has signed in.
bool is_open(const std::string& path) {
  return path == "/sign-in" || path == "/health" || path == "/favicon.ico" || path.starts_with("/assets/");
}

bool reads(const Request& request) { return request.method == "GET" || request.method == "HEAD"; }

// "/v1/chat/completions/ID/ACTION" to {"ID", "ACTION"}
std::optional<std::pair<std::string, std::string>> parse_control_path(const std::string& path) {
  static constexpr std::string_view prefix = "/v1/chat/completions/";
  if (!path.starts_with(prefix)) return std::nullopt;
  const std::string rest = path.substr(prefix.size());
  const std::size_t slash = rest.find('/');
  if (slash == std::string::npos || rest.find('/', slash + 1) != std::string::npos) return std::nullopt;
  return std::pair(rest.substr(0, slash), rest.substr(slash + 1));
}

bool is_of_chat(const std::string& path) { return path.starts_with("/c/") || path.starts_with("/t/"); }

// "/c/ID/messages" to {"ID", "messages", ""}, "/c/ID/stream/3" to {"ID", "stream", "3"}; the same of "/t/".
struct ChatPath {
  std::string id, action, number;
};

std::optional<ChatPath> parse_chat_path(std::string path) {
  if (!is_of_chat(path)) return std::nullopt;
  ChatPath parts;
  path.erase(0, 3);
  for (std::string* part : {&parts.id, &parts.action, &parts.number}) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    *part = path.substr(0, slash);
    path.erase(0, slash + 1);
  }
  if (!path.empty() || !Chat::is_id(parts.id)) return std::nullopt;
  return parts;
}

// A page of its own, and not a part of one.
bool is_page(const std::string& path) {
  const auto chat = parse_chat_path(path);
  return path == "/" || path == "/temporary" || path == "/sign-out" || (chat && chat->action.empty());
}

Response asset_response(const Request& request, const std::string& name) {
  const Asset* asset = find_asset(name);
  if (asset == nullptr || content_type(name).empty())
    return Routes::error(request, 404, "there is nothing at this address");
  const std::string tag = content_tag(asset->content);
  const std::string quoted = '"' + tag + '"';
  Response response{.content_type = std::string(content_type(name))};
  // Under the address that pages use, the content never changes.
  const bool forever = request.query == "v=" + tag;
  response.headers = {{"ETag", quoted},
                      {"Cache-Control", forever ? "public, max-age=31536000, immutable" : "no-cache"}};
  if (request.if_none_match.find(quoted) != std::string::npos) {
    response.status = 304;
    response.content_type.clear();
  } else {
    response.body = asset->content;
  }
  return response;
}

ordered_json model_json(const ModelFacts& facts) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  static const auto started = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  return {{"id", facts.name},
          {"object", "model"},
          {"created", started},
          {"owned_by", "smollm3"},
          {"context_length", facts.context}};
}

Response models_response(const Request& request, const ModelFacts& facts) {
  if (request.path == "/v1/models")
    return json_response(200, {{"object", "list"}, {"data", ordered_json::array({model_json(facts)})}});
  if (request.path == "/v1/models/" + facts.name) return json_response(200, model_json(facts));
  return json_response(404, error_json({404, "there is no such model here; /v1/models lists what there is", "model",
                                        "model_not_found"}));
}

Response health_response(const EngineSlot& engines) {
  const engine::Load load = engines.load();
  const std::shared_ptr<const ModelFacts> facts = engines.facts();
  return json_response(200, {{"status", "ok"},
                             {"model", facts->name},
                             {"context", facts->context},
                             {"kv_positions", facts->kv_positions},
                             {"mode", facts->mode},
                             {"device", facts->device},
                             {"threads", facts->threads},
                             {"running", load.running},
                             {"waiting", load.waiting},
                             {"paused", load.paused},
                             {"wait_seconds", load.wait_seconds},
                             {"version", SMOLLM3_VERSION}});
}

Response not_allowed(const Request& request, const std::string& allowed) {
  Response response = Routes::error(request, 405, "this address answers only to " + allowed);
  response.headers.emplace_back("Allow", allowed);
  return response;
}

}  // namespace

Routes::Routes(EngineSlot& engines, store::Store& store, AccessRules access)
    : engines_(engines),
      access_(std::move(access)),
      authentication_(store, access_),
      sign_in_(store, access_),
      completions_(engines),
      chat_(engines, store),
      temporary_store_(store::in_memory),
      temporary_chat_(engines, temporary_store_, /*temporary=*/true) {}

bool Routes::waits(const Request& request) {
  if (request.path == "/v1/chat/completions") return request.method == "POST";
  return (is_of_chat(request.path) || request.path.starts_with("/local/")) &&
         request.path.find("/stream/") != std::string::npos;
}

Headers Routes::headers() {
  return {{"Content-Security-Policy",
           "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
           "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
          {"X-Content-Type-Options", "nosniff"},
          {"X-Frame-Options", "DENY"},
          {"Referrer-Policy", "same-origin"},  // with none, browsers would not say of a form where it is from, either
          {"Cross-Origin-Opener-Policy", "same-origin"},
          {"Cross-Origin-Resource-Policy", "same-origin"},
          {"Permissions-Policy", "camera=(), geolocation=(), microphone=()"}};
}

Response Routes::error(const Request& request, const ApiError& error) {
  Response response;
  const bool needs_sign_in = error.status == 401;
  if (is_api(request.path)) {
    response = json_response(error.status, error_json(error));
    if (needs_sign_in) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  } else if (needs_sign_in && (is_page(request.path) || request.fetch_mode == "navigate")) {
    response = {.status = 303, .headers = {{"Location", SignIn::address(request.path)}, {"Cache-Control", "no-store"}}};
  } else if (needs_sign_in) {
    response = html(401, notice_fragment("You are not signed in any more.", "/sign-in", "Sign in"));
  } else {
    response = {
        .status = error.status, .content_type = "text/html; charset=utf-8", .headers = {{"Cache-Control", "no-store"}}};
    // What the page fetches is put into the page.
    const bool whole_page = request.fetch_mode == "navigate" || reads(request);
    response.body = whole_page ? error_page(error.status, error.what()) : notice_fragment(error.what());
  }
  if (error.retry_after > 0) response.headers.emplace_back("Retry-After", std::to_string(error.retry_after));
  return response;
}

Response Routes::error(const Request& request, unsigned status, const std::string& message) {
  return error(request, ApiError(status, message));
}

Awaitable<void> Routes::handle(Exchange& exchange) {
  const Request& request = exchange.request();
  const auto reason = request.own_user ? std::nullopt : access_.refuse(request);
  if (reason) throw ApiError(403, *reason);
  if (is_open(request.path)) {
    co_await dispatch_open(exchange);
  } else {
    const Visitor visitor = co_await authentication_.visitor_of(request);
    co_await dispatch(exchange, visitor);
  }
}

Awaitable<void> Routes::dispatch_open(Exchange& exchange) {
  const Request& request = exchange.request();
  const std::string& path = request.path;
  Response response;
  if (path == "/sign-in" && request.method == "POST") {
    if (request.body.size() <= most_sign_in_form) {
      co_await sign_in_.sign_in(exchange);
      co_return;
    }
    response = error(request, 413, "The name or the password is too long.");
  } else if (!reads(request)) {
    response = not_allowed(request, path == "/sign-in" ? "GET, HEAD, POST" : "GET, HEAD");
  } else if (path == "/sign-in") {
    co_await sign_in_.page(exchange);
    co_return;
  } else if (path == "/health") {
    response = health_response(engines_);
  } else {
    response = asset_response(request, path == "/favicon.ico" ? "icon.svg" : path.substr(8));
  }
  co_await exchange.respond(std::move(response));
}

Awaitable<void> Routes::dispatch(Exchange& exchange, const Visitor& visitor) {
  const Request& request = exchange.request();
  const std::string& path = request.path;
  Response response;
  if (path == "/v1/chat/completions") {
    if (request.method == "POST") {
      co_await completions_.answer(exchange, visitor);
      co_return;
    }
    response = not_allowed(request, "POST");
  } else if (const auto control = parse_control_path(path)) {
    response = request.method == "POST" ? completions_.control(visitor, control->first, control->second)
                                        : not_allowed(request, "POST");
  } else if (path.starts_with("/local/") && request.own_user) {
    co_await answer_local(chat_, engines_, exchange);
    co_return;
  } else if (is_of_chat(path)) {
    co_await dispatch_chat(exchange, visitor);
    co_return;
  } else if (path == "/sign-out") {
    if (request.method == "POST" && request.body.size() <= most_sign_in_form) {
      co_await sign_in_.sign_out(exchange, visitor);
      co_return;
    }
    response = not_allowed(request, "POST");
  } else if (is_api(path) && !path.starts_with("/v1/models")) {
    response =
        json_response(404, error_json({404, "there is no " + path + " here; see /v1/models and /v1/chat/completions"}));
  } else if (path == "/" || path == "/temporary" || path == "/search" || path.starts_with("/v1/models")) {
    if (!reads(request)) {
      response = not_allowed(request, "GET, HEAD");
    } else if (path == "/" || path == "/temporary") {
      co_await (path == "/" ? chat_ : temporary_chat_).new_page(exchange, visitor);
      co_return;
    } else if (path == "/search") {
      co_await chat_.search(exchange, visitor);
      co_return;
    } else {
      response = models_response(request, *engines_.facts());
    }
  } else {
    response = error(request, 404, "there is nothing at this address");
  }
  co_await exchange.respond(std::move(response));
}

Awaitable<void> Routes::dispatch_chat(Exchange& exchange, const Visitor& visitor) {
  const Request& request = exchange.request();
  const auto parts = parse_chat_path(request.path);
  Chat& chat = request.path.starts_with("/t/") ? temporary_chat_ : chat_;
  const auto number = parts ? parse_number(parts->number) : std::nullopt;
  Response response;
  if (!parts) {
    response = error(request, 404, "there is nothing at this address");
  } else if (parts->action.empty() || (parts->action == "stream" && number)) {
    if (request.method == "GET" || (!number && reads(request))) {
      if (number) {
        co_await chat.stream(exchange, visitor, parts->id, *number);
      } else {
        co_await chat.page(exchange, visitor, parts->id);
      }
      co_return;
    }
    response = not_allowed(request, "GET");
  } else if ((parts->action == "messages" || chat.is_action(parts->action)) && parts->number.empty()) {
    if (request.method == "POST" && request.body.size() <= most_form) {
      if (parts->action == "messages") {
        co_await chat.post_message(exchange, visitor, parts->id);
      } else {
        co_await chat.act(exchange, visitor, parts->id, parts->action);
      }
      co_return;
    }
    response = request.method == "POST" ? error(request, 413,
                                                "The message is too long: it may have " + std::to_string(most_text) +
                                                    " characters. Send it in parts.")
                                        : not_allowed(request, "POST");
  } else {
    response = error(request, 404, "there is nothing at this address");
  }
  co_await exchange.respond(std::move(response));
}

Awaitable<void> Routes::work(bool resume) {
  using namespace boost::asio::experimental::awaitable_operators;
  co_await (chat_.work(resume) && temporary_chat_.work(resume));
}

Awaitable<void> Routes::keep_house(bool titles) {
  using namespace boost::asio::experimental::awaitable_operators;
  co_await (chat_.keep_house(titles) && temporary_chat_.keep_house(/*titles=*/false));
}

Awaitable<void> Routes::let_go() {
  co_await temporary_chat_.let_go();
  co_await chat_.let_go();
}

}  // namespace server
