#include "server/chat.h"

#include <random>

#include "base/utf8.h"
#include "server/follow.h"
#include "server/http_text.h"
#include "server/views.h"

namespace server {
namespace {

constexpr std::size_t most_conversation = 8 << 20;  // bytes, as of Conversation::bytes

Response html(unsigned status, std::string body, Headers headers = {}) {
  headers.emplace_back("Cache-Control", "no-store");
  return {.status = status,
          .content_type = "text/html; charset=utf-8",
          .body = std::move(body),
          .headers = std::move(headers)};
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n") + 1 - begin);
}

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace

Awaitable<void> Chat::new_page(Exchange& exchange) {
  Conversation empty;
  empty.id = Conversations::new_id();
  Response response = html(200, chat_page(empty, *engines_.facts()));
  co_await exchange.respond(std::move(response));
}

Awaitable<void> Chat::page(Exchange& exchange, const std::string& id) {
  const auto conversation = conversations_.find(id);
  Response response =
      conversation
          ? html(200, chat_page(*conversation, *engines_.facts()))
          : html(404,
                 error_page(
                     404, "This conversation is not kept any more: the server was restarted, or it was too long ago."));
  co_await exchange.respond(std::move(response));
}

Response Chat::accept(const Request& request, const std::string& id) {
  auto fields = parse_form(request.body);
  std::string text = clean_text(fields["text"]);
  if (trimmed(text).empty()) text = clean_text(fields["example"]);
  text = trimmed(text);
  const auto conversation = conversations_.find(id);
  const std::size_t rounds = conversation ? conversation->rounds.size() : 0;

  if (text.empty()) return {.status = 204};
  if (base::utf8::count(text) > most_text) {
    return html(413, notice_fragment("The message is too long: it may have " + std::to_string(most_text) +
                                     " characters. Send it in parts."));
  }
  if (fields["round"] != std::to_string(rounds)) {
    if (rounds == 0) {
      return html(
          410,
          notice_fragment(
              "The server was restarted and has forgotten this conversation. Your message was not sent; copy it, and",
              "/", "start a new chat."));
    }
    return html(409,
                notice_fragment("This conversation went on in another window. Your message was not sent; copy it, and",
                                "/c/" + id, "load the conversation again."));
  }
  if (conversation && conversation->paused()) {
    return html(409, notice_fragment("The answer before is paused. Resume it, or stop it, and send again."));
  }
  if (conversation && conversation->answering()) {
    return html(409,
                notice_fragment("The answer before is still being written. Wait for it, or stop it, and send again."));
  }
  if (conversation && conversation->bytes() + text.size() > most_conversation) {
    return html(
        413, notice_fragment("This conversation is too long to be kept. Your message was not sent; copy it, and", "/",
                             "start a new chat."));
  }
  const bool think = fields.contains("think");
  auto generation = start(conversation.get(), text, think, request.client);
  const auto opened = conversations_.open(id);
  opened->rounds.push_back(
      {.prompt = std::move(text), .think = think, .generation = std::move(generation), .facts = engines_.facts()});
  return html(200, sent_fragment(*opened), {{"HX-Replace-Url", "/c/" + id}});
}

std::shared_ptr<engine::Generation> Chat::start(Conversation* conversation, const std::string& prompt, bool think,
                                                const std::string& client) {
  engine::Turn turn;
  if (conversation != nullptr) turn.before = conversation->transcript();
  turn.asker.client = client;
  turn.input.messages = conversation != nullptr ? conversation->messages(prompt) : Conversation{}.messages(prompt);
  turn.input.enable_thinking = think;
  turn.sampling.seed = random_seed();
  return engines_.start(std::move(turn));
}

Awaitable<void> Chat::post_message(Exchange& exchange, const std::string& id) {
  Response response = accept(exchange.request(), id);
  co_await exchange.respond(std::move(response));
}

bool Chat::is_control(std::string_view action) { return action == "stop" || action == "pause" || action == "resume"; }

Awaitable<void> Chat::control(Exchange& exchange, const std::string& id, const std::string& action) {
  if (const auto conversation = conversations_.find(id); conversation && conversation->answering()) {
    engine::Generation& generation = *conversation->rounds.back().generation;
    if (action == "stop") {
      generation.cancel();
    } else if (action == "pause") {
      generation.pause();
    } else {
      generation.resume();
    }
  }
  Response done{.status = 204};
  co_await exchange.respond(std::move(done));
}

Awaitable<void> Chat::stream(Exchange& exchange, const std::string& id, std::size_t round) {
  const auto conversation = conversations_.find(id);
  if (conversation && round < conversation->rounds.size()) {
    std::shared_ptr<engine::Generation> generation = conversation->rounds[round].generation;
    std::shared_ptr<const ModelFacts> facts = conversation->rounds[round].facts;
    co_await follow_answer(exchange, std::move(generation), std::move(facts), round);
  } else {
    co_await answer_is_lost(exchange, round);
  }
}

}  // namespace server
