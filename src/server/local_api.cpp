#include "server/local_api.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "server/api_error.h"
#include "server/http_text.h"
#include "server/saved_answer.h"
#include "store/database.h"

namespace server {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// "/local/c/ID/stream/3" to {"c", "ID", "stream", "3"}
std::vector<std::string> parts_of(std::string_view path) {
  path.remove_prefix(std::string_view("/local/").size());
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t slash = path.find('/');
    parts.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

Message message_from(const std::string& body) {
  try {
    const json object = json::parse(body);
    Message message{.text = object.at("text").get<std::string>(),
                    .after = std::to_string(object.at("after").get<std::int64_t>()),
                    .think = object.at("think").get<bool>(),
                    .max_tokens = object.at("max_tokens").get<std::uint32_t>()};
    read_sampling(object.at("sampling"), message.sampling);
    if (object.contains("system")) message.system = object["system"].get<std::string>();
    return message;
  } catch (const json::exception& failure) {
    throw ApiError(400, std::string("this is no message: ") + failure.what());
  }
}

Response ok(const json& value) { return json_response(200, ordered_json(value)); }

LocalConversation conversation_of(const ChatPage& page) {
  LocalConversation conversation{.id = page.address.id, .title = page.title, .last = page.last};
  for (const Round& round : page.rounds) {
    LocalRound one{.number = round.number,
                   .question = round.prompt,
                   .open = round.answer.open(),
                   .interrupted = round.answer.interrupted};
    if (!one.open) {
      one.thinking = round.answer.thinking;
      one.text = round.answer.text;
    }
    conversation.rounds.push_back(std::move(one));
  }
  return conversation;
}

Awaitable<Response> list_all(Chat& chat) {
  std::vector<LocalHead> heads;
  for (const store::ConversationHead& head : co_await chat.list(local_account, std::numeric_limits<int>::max())) {
    heads.push_back({.id = head.id, .title = head.title, .changed = head.changed});
  }
  std::ranges::stable_sort(heads, std::ranges::greater{}, &LocalHead::changed);  // pinned ones came first
  co_return ok(heads);
}

Awaitable<Response> read_one(Chat& chat, std::string id) {
  const std::optional<ChatPage> page = co_await chat.read(local_account, id);
  if (!page) throw ApiError(404, "there is no such conversation: it was deleted, or it never was", {}, "deleted");
  co_return ok(conversation_of(*page));
}

Awaitable<Response> send_message(Chat& chat, const Request& request, std::string id) {
  Message message = message_from(request.body);
  if (message.text.empty()) throw ApiError(400, "the message is empty");
  message.sampling.check();
  const Visitor visitor{.account = local_account};
  Chat::Sent sent{};
  bool conflict = false;
  try {
    sent = co_await chat.send(std::move(message), visitor, request.client, id);
  } catch (const store::Conflict&) {
    conflict = true;
  }
  if (conflict) throw ApiError(409, "this conversation went on elsewhere", {}, "went_on");
  co_return ok({{"number", sent.number}});
}

Awaitable<Response> act(Chat& chat, std::string id, std::string action) {
  if (action == "continue") {
    const bool goes_on = co_await chat.go_on(local_account, std::move(id));
    co_return ok({{"goes_on", goes_on}});
  }
  co_await chat.steer(local_account, std::move(id), std::move(action));
  co_return ok(json::object());
}

bool is_action(const std::string& name) {
  return name == "stop" || name == "pause" || name == "resume" || name == "continue";
}

Response model_response(const ModelFacts& facts) {
  return ok(LocalModel{.version = SMOLLM3_VERSION,
                       .name = facts.name,
                       .file = facts.file,
                       .device = facts.device,
                       .mode = facts.mode,
                       .context = facts.context,
                       .threads = facts.threads});
}

}  // namespace

json message_json(const Message& message) {
  json object = {{"text", message.text},
                 {"after", std::stoll(message.after)},
                 {"think", message.think},
                 {"max_tokens", message.max_tokens},
                 {"sampling", sampling_json(message.sampling)}};
  if (message.system) object["system"] = *message.system;
  return object;
}

Awaitable<void> answer_local(Chat& chat, EngineSlot& engines, Exchange& exchange) {
  const Request& request = exchange.request();
  const std::vector<std::string> parts = parts_of(request.path);
  const bool reads = request.method == "GET";
  const bool of_one = parts.size() >= 2 && parts[0] == "c" && Chat::is_id(parts[1]);
  Response response;
  if (reads && parts.size() == 1 && parts[0] == "model") {
    response = model_response(*engines.facts());
  } else if (reads && parts.size() == 1 && parts[0] == "conversations") {
    response = co_await list_all(chat);
  } else if (reads && parts.size() == 2 && of_one) {
    response = co_await read_one(chat, parts[1]);
  } else if (reads && parts.size() == 4 && of_one && parts[2] == "stream") {
    const std::int64_t number = parse_number(parts[3]).value_or(0);  // which none has
    co_await chat.follow(exchange, local_account, parts[1], number, StreamForm::Json);
    co_return;
  } else if (!reads && parts.size() == 3 && of_one && parts[2] == "messages") {
    response = co_await send_message(chat, request, parts[1]);
  } else if (!reads && parts.size() == 3 && of_one && is_action(parts[2])) {
    response = co_await act(chat, parts[1], parts[2]);
  } else {
    throw ApiError(404, "there is nothing at this address");
  }
  co_await exchange.respond(std::move(response));
}

}  // namespace server
