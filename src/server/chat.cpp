#include "server/chat.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "engine/prepared.h"
#include "server/api_error.h"
#include "server/follow.h"
#include "server/http_text.h"
#include "server/log.h"
#include "server/on_store.h"
#include "server/saved_answer.h"
#include "server/sleep.h"
#include "server/titles.h"
#include "server/views.h"

namespace server {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_conversation = 8 << 20;  // bytes of text
constexpr auto most_patience = 2s;                  // of a button's, with a server that has just started

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

std::size_t bytes_of(const store::Conversation& conversation) {
  std::size_t sum = 0;
  for (const store::Message& message : conversation.messages) sum += message.thinking.size() + message.text.size();
  return sum;
}

std::vector<const store::Message*> path_of(const std::optional<store::Conversation>& conversation) {
  if (!conversation) return {};
  return conversation->path_to(conversation->shown);
}

// What the model is to answer: the system prompt, if there is one, all rounds that did not fail, and then the new
// message, in the OpenAI form.
nlohmann::ordered_json messages_of(const std::vector<const store::Message*>& path, const std::string& text,
                                   const std::string& system) {
  auto list = nlohmann::ordered_json::array();
  if (!system.empty()) list.push_back({{"role", "system"}, {"content", system}});
  for (std::size_t i = 0; i + 1 < path.size(); i += 2) {
    if (answer_from(*path[i + 1]).failed()) continue;
    list.push_back({{"role", "user"}, {"content", path[i]->text}});
    list.push_back({{"role", "assistant"}, {"content", path[i + 1]->text}});
  }
  list.push_back({{"role", "user"}, {"content", text}});
  return list;
}

// The shown branch, its answers as they are now.
ChatPage page_of(Address address, const store::Conversation& conversation, const LiveAnswers& live) {
  ChatPage page{.address = std::move(address), .title = conversation.title, .last = conversation.shown};
  const auto path = conversation.path_to(conversation.shown);
  for (std::size_t i = 0; i + 1 < path.size(); i += 2) {
    Round round{.number = path[i + 1]->number, .prompt = path[i]->text, .facts = asked_from(path[i + 1]->asked).facts};
    const LiveAnswer* under_way = live.find({conversation.id, round.number});
    round.answer = under_way != nullptr ? answer_of(under_way->generation->journal()) : answer_from(*path[i + 1]);
    page.rounds.push_back(std::move(round));
  }
  return page;
}

// Waits for the preparing thread. Throws base::Error for what cannot be rendered, does not fit or is too much.
Awaitable<engine::Prepared> prepare(EngineSlot& engines, engine::Turn turn) {
  Delivery<engine::Preparation> delivery(co_await boost::asio::this_coro::executor);
  // A turn that another model takes over before it was begun comes here again; what is stored is of the first model, so
  // that it ends then.
  const auto generation = engines.prepare(
      std::move(turn), [deliver = delivery.sender()](engine::Preparation prepared) { deliver(std::move(prepared)); });
  engine::Preparation outcome = co_await delivery.wait();
  if (auto* prepared = std::get_if<engine::Prepared>(&outcome)) co_return std::move(*prepared);
  const engine::Done& done = std::get<engine::Done>(outcome);
  if (done.error) throw *done.error;
  throw base::Error(base::ErrorKind::Busy, "server", "it is shutting down", "try again in a moment");
}

// Of the account that can be signed out of.
std::string signed_in(const Visitor& visitor) { return visitor.sign_in ? visitor.account : ""; }

}  // namespace

bool Chat::is_id(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Awaitable<void> Chat::new_page(Exchange& exchange, const Visitor& visitor) {
  ChatPage page{.address = address_of(random_hex(16)), .signed_in = signed_in(visitor)};
  page.list = co_await list(visitor.account);
  Response response = html(200, chat_page(page, *engines_.facts()));
  co_await exchange.respond(std::move(response));
}

Awaitable<void> Chat::page(Exchange& exchange, const Visitor& visitor, const std::string& id) {
  struct Found {
    std::optional<store::Conversation> conversation;
    std::vector<store::ConversationHead> list;
  };
  auto find = [this, id, account = visitor.account](store::Database& database) {
    return Found{database.conversation(account, id), list_of(database, account)};
  };
  Found found = co_await on_store(store_, std::move(find));
  Response response;
  if (found.conversation) {
    ChatPage page = page_of(address_of(id), *found.conversation, live_);
    page.list = std::move(found.list);
    page.signed_in = signed_in(visitor);
    response = html(200, chat_page(page, *engines_.facts()));
  } else {
    response = html(404, error_page(404, "There is no such conversation: it was deleted, or it never was."));
  }
  co_await exchange.respond(std::move(response));
}

Awaitable<std::vector<store::ConversationHead>> Chat::list(std::string account, int most) {
  auto list = [this, account = std::move(account), most](store::Database& database) {
    return list_of(database, account, most);
  };
  co_return co_await on_store(store_, std::move(list));
}

Awaitable<std::optional<ChatPage>> Chat::read(std::string account, std::string id) {
  auto find = [account, id](store::Database& database) { return database.conversation(account, id); };
  const auto conversation = co_await on_store(store_, std::move(find));
  co_return conversation ? std::optional(page_of(address_of(id), *conversation, live_)) : std::nullopt;
}

// Throws Refusal if a message cannot follow what is there.
void Chat::check(const std::string& id, const Message& message, const Before& before) const {
  if (message.after != std::to_string(before.shown())) {
    if (!before.conversation) {
      throw Refusal(410, "deleted", "This conversation was deleted. Your message was not sent; copy it, and", "/",
                    "start a new chat.");
    }
    throw Refusal(409, "went_on",
                  "This conversation went on in another window. Your message was not sent; copy it, and",
                  address_of(id).path(), "load the conversation again.");
  }
  const LiveAnswer* answer = live_.find({id, before.shown()});
  if (answer != nullptr && !answer->generation->journal().over()) {
    throw Refusal(409, "under_way",
                  answer->generation->pause_asked()
                      ? "The answer before is paused. Resume it, or stop it, and send again."
                      : "The answer before is still being written. Wait for it, or stop it, and send again.");
  }
  if (before.conversation && bytes_of(*before.conversation) + message.text.size() > most_conversation) {
    throw Refusal(413, "too_long", "This conversation is too long. Your message was not sent; copy it, and", "/",
                  "start a new chat.");
  }
}

engine::Turn Chat::turn_of(const Before& before, const Message& message, const std::string& system) {
  engine::Turn turn;
  turn.input.messages = messages_of(path_of(before.conversation), message.text, system);
  turn.input.enable_thinking = message.think;
  turn.sampling = message.sampling;
  turn.limits.max_tokens = message.max_tokens;
  if (!before.tokens.ids.empty()) {
    auto transcript = std::make_shared<engine::Transcript>();
    transcript->append(before.tokens.ids, before.tokens.generated);
    turn.before = std::move(transcript);
  }
  return turn;
}

Awaitable<Response> Chat::accept(const Request& request, Visitor visitor, std::string id) {
  auto fields = parse_form(request.body);
  std::string text = clean_text(fields["text"]);
  if (trimmed(text).empty()) text = clean_text(fields["example"]);
  text = trimmed(text);
  if (text.empty()) co_return Response{.status = 204};
  Message message{.text = text, .after = fields["after"], .think = fields.contains("think")};
  message.sampling.seed = random_seed();
  const Sent sent = co_await send(std::move(message), visitor, visitor.client(request), id);
  const Round round{.number = sent.number, .prompt = text, .facts = *sent.facts};
  std::vector<store::ConversationHead> conversations;
  try {
    conversations = co_await list(visitor.account);
  } catch (const base::Error& failure) {
    log_error(failure.what());  // the message was sent all the same
  }
  const Address address = address_of(id);
  Response response = html(200, sent_fragment(address, round, conversations));
  response.headers.emplace_back("HX-Replace-Url", address.path());
  co_return response;
}

Awaitable<Chat::Sent> Chat::send(Message message, Visitor visitor, std::string client, std::string id) {
  if (base::utf8::count(message.text) > most_text) {
    throw Refusal(
        413, "too_long",
        "The message is too long: it may have " + std::to_string(most_text) + " characters. Send it in parts.");
  }
  const std::shared_ptr<const ModelFacts> facts = engines_.facts();
  co_await live_.settle(id);
  auto find = [id, account = visitor.account, tokenizer = facts->fingerprint.tokenizer](store::Database& database) {
    Before found{.conversation = database.conversation(account, id), .tokens = {}};
    if (found.conversation) found.tokens = database.last_tokens(id, tokenizer);
    return found;
  };
  const Before before = co_await on_store(store_, std::move(find));
  const std::int64_t shown = before.shown();
  check(id, message, before);

  const auto path = path_of(before.conversation);
  const std::string system =
      message.system || path.empty() ? message.system.value_or("") : asked_from(path.back()->asked).system;
  engine::Turn turn = turn_of(before, message, system);
  turn.asker = {.client = std::move(client), .account = visitor.salt()};
  engine::Prepared prepared = co_await prepare(engines_, std::move(turn));
  store::Question question{.account = visitor.account,
                           .conversation = id,
                           .parent = shown,
                           .title = title_of(trimmed(message.text)),
                           .text = message.text,
                           .asked = to_json(Asked{.think = message.think, .facts = *facts, .system = system}),
                           .settings = settings_of(prepared.request()),
                           .fingerprint = fingerprint_of(*facts),
                           .prompt = prompt_of(prepared.request()),
                           .now = now()};
  auto accept = [question = std::move(question)](store::Database& database) { return database.accept(question); };
  const store::AnswerId answer = co_await on_store(store_, std::move(accept));
  may_be_unnamed_ = true;
  live_.add(answer, {.account = visitor.account, .generation = prepared.generation(), .facts = facts});
  try {
    std::move(prepared).start();
  } catch (const base::Error&) {
    // The generation has ended with it, which the page is told by its stream, as of any failure.
  }
  co_return Sent{.number = answer.number, .facts = facts};
}

Awaitable<void> Chat::post_message(Exchange& exchange, const Visitor& visitor, const std::string& id) {
  Response response;
  try {
    response = co_await accept(exchange.request(), visitor, id);
  } catch (const Refusal& refusal) {
    response = html(refusal.status, notice_fragment(refusal.message, refusal.link, refusal.link_text));
  } catch (const store::Conflict& conflict) {
    response = html(409, notice_fragment(std::string(conflict.what()) + ". Your message was not sent; copy it, and",
                                         address_of(id).path(), "load the conversation again."));
  }
  co_await exchange.respond(std::move(response));
}

bool Chat::is_action(std::string_view action) const {
  static constexpr std::string_view everywhere[] = {"stop", "pause", "resume", "continue", "duplicate"};
  return std::ranges::find(everywhere, action) != std::end(everywhere) || (!temporary_ && changes_list(action));
}

void Chat::control(const std::string& account, const std::string& id, const std::string& action) {
  const LiveAnswer* answer = live_.of(id);
  if (answer == nullptr || answer->account != account) return;
  if (action == "stop") {
    answer->generation->cancel();
  } else if (action == "pause") {
    answer->generation->pause();
  } else {
    answer->generation->resume();
  }
}

Awaitable<void> Chat::until_ready(std::string id) {
  co_await until_taken_up(id, most_patience);
  if (!is_to_be_taken_up(id)) co_return;
  throw base::Error(base::ErrorKind::Busy, "answer", "the server has just started, and has not got to it yet",
                    "try again in a moment");
}

Awaitable<void> Chat::steer(std::string account, std::string id, std::string action) {
  co_await until_ready(id);
  control(account, id, action);
  try {
    co_await live_.settle(id);  // so that a server that is killed now does what was asked of it
  } catch (const base::Error& failure) {
    log_error(failure.what());
  }
}

Awaitable<void> Chat::act(Exchange& exchange, const Visitor& visitor, const std::string& id,
                          const std::string& action) {
  const std::string& account = visitor.account;
  Response response{.status = 204};
  if (action == "stop" || action == "pause" || action == "resume") {
    co_await steer(account, id, action);
  } else if (action == "continue") {
    try {
      const bool goes_on = co_await go_on(account, id);
      if (goes_on) response.headers.emplace_back("HX-Refresh", "true");
    } catch (const Refusal& refusal) {
      response = html(refusal.status, notice_fragment(refusal.message));
    }
  } else if (action == "duplicate") {
    co_await until_ready(id);
    response = co_await duplicate(exchange.request(), account, id);
  } else {
    if (action == "remove") co_await until_ready(id);
    response = co_await change(exchange.request(), account, id, action);
  }
  co_await exchange.respond(std::move(response));
}

Awaitable<void> Chat::stream(Exchange& exchange, const Visitor& visitor, const std::string& id, std::int64_t number) {
  co_await follow(exchange, visitor.account, id, number, StreamForm::Page);
}

Awaitable<void> Chat::follow(Exchange& exchange, std::string account, std::string id, std::int64_t number,
                             StreamForm form) {
  while (!live_.gone()) {
    if (const LiveAnswer* live = live_.find({id, number}); live != nullptr && live->account == account) {
      LiveAnswer followed = *live;
      std::function<bool()> gone = [this] { return live_.gone(); };
      co_await follow_answer(exchange, std::move(followed), number, form, std::move(gone));
      co_return;
    }
    if (is_to_be_taken_up(id)) {
      co_await until_taken_up(id, std::nullopt);
      continue;
    }
    auto find = [id, account](store::Database& database) { return database.conversation(account, id); };
    const auto conversation = co_await on_store(store_, std::move(find));
    const store::Message* message = conversation ? conversation->find(number) : nullptr;
    if (message == nullptr || message->role != store::Role::Assistant) {
      co_await answer_is_lost(exchange, number, form);
      co_return;
    }
    Answer answer = answer_from(*message);
    if (!answer.open()) {
      ModelFacts facts = asked_from(message->asked).facts;
      co_await show_answer(exchange, std::move(answer), std::move(facts), number, form);
      co_return;
    }
    co_await sleep(1s);  // somebody else's, or its end is just being stored
  }
}

}  // namespace server
