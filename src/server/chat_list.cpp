// The list of conversations, and what keeps it in order.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "server/chat.h"
#include "server/http_text.h"
#include "server/on_store.h"
#include "server/saved_answer.h"
#include "server/views.h"

namespace server {
namespace {

constexpr int most_hits = 50;

Response no_such_conversation() {
  return html(404, notice_fragment("There is no such conversation: it was deleted, or it never was."));
}

// "work, #two words" to {"work", "two words"}; none if one of them is no tag, or there are too many.
std::optional<std::vector<std::string>> parse_tags(std::string_view typed) {
  std::vector<std::string> tags;
  while (!typed.empty()) {
    const std::size_t end = std::min(typed.find(','), typed.size());
    std::string_view tag = trimmed(typed.substr(0, end));
    typed.remove_prefix(std::min(end + 1, typed.size()));
    if (tag.starts_with('#')) tag.remove_prefix(1);
    if (tag.empty()) continue;
    if (!store::is_tag(tag)) return std::nullopt;
    tags.emplace_back(tag);
  }
  if (tags.size() > store::most_tags) return std::nullopt;
  return tags;
}

// Whoever fetches the list says which conversation the page shows.
std::string current_of(const std::string& field) { return Chat::is_id(field) ? field : ""; }

}  // namespace

bool Chat::changes_list(std::string_view action) {
  static constexpr std::string_view known[] = {"rename",    "pin",  "unpin",  "archive",
                                               "unarchive", "tags", "remove", "restore"};
  return std::ranges::find(known, action) != std::end(known);
}

std::vector<store::ConversationHead> Chat::list_of(store::Database& database, const std::string& account,
                                                   int most) const {
  return temporary_ ? std::vector<store::ConversationHead>{} : database.list(account, most);
}

Awaitable<Response> Chat::change(const Request& request, std::string account, std::string id, std::string action) {
  auto fields = parse_form(request.body);
  const std::string title(trimmed(clean_text(fields["title-" + id])));
  if (action == "rename" && (title.empty() || base::utf8::count(title) > most_title)) {
    co_return html(400, notice_fragment("A title has 1 to " + std::to_string(most_title) + " characters."));
  }
  const auto tags = parse_tags(clean_text(fields["tags-" + id]));
  if (action == "tags" && !tags) {
    co_return html(400, notice_fragment("A conversation has up to " + std::to_string(store::most_tags) +
                                        " tags of 1 to 40 characters, with commas between them."));
  }
  if (action == "remove") co_await live_.settle(id);
  struct Changed {
    bool found = false;
    std::optional<store::ConversationHead> removed{};
    std::vector<store::ConversationHead> list{};
  };
  auto change = [=, this](store::Database& database) {
    Changed changed;
    if (action == "rename") {
      changed.found = database.rename(account, id, title);
    } else if (action == "tags") {
      changed.found = database.set_tags(account, id, *tags);
    } else if (action == "restore") {
      changed.found = database.restore(account, id);
    } else if (action == "remove") {
      changed.removed = database.conversation(account, id);
      changed.found = database.remove(account, id, now());
    } else if (action == "archive" || action == "unarchive") {
      changed.found = database.archive(account, id, action == "archive");
    } else {
      changed.found = database.pin(account, id, action == "pin");
    }
    changed.list = list_of(database, account);
    return changed;
  };
  const Changed changed = co_await on_store(store_, std::move(change));
  if (!changed.found) co_return no_such_conversation();
  if (action == "remove") control(account, id, "stop");
  const ListKind kind{.listing = {}, .removed = changed.removed};
  co_return html(200, list_fragment(changed.list, current_of(fields["current"]), kind));
}

Awaitable<Response> Chat::duplicate(const Request& request, std::string account, std::string id) {
  auto fields = parse_form(request.body);
  const auto answer = parse_number(fields["at"]);
  if (!answer) co_return html(400, notice_fragment("Say up to which answer, by its number."));
  co_await live_.settle(id);  // what there is of it, if it is still being written
  const std::string copy = random_hex(16);
  auto duplicate = [=](store::Database& database) { return database.duplicate(account, id, *answer, copy, now()); };
  const bool found = co_await on_store(store_, std::move(duplicate));
  if (!found) co_return no_such_conversation();
  Response response{.status = 204};
  response.headers.emplace_back("HX-Redirect", address_of(copy).path());
  co_return response;
}

Awaitable<void> Chat::search(Exchange& exchange, const Visitor& visitor) {
  auto fields = parse_form(exchange.request().query);
  std::string typed(trimmed(clean_text(fields["q"])));
  typed.resize(base::utf8::cut(typed, most_title));
  const std::string& account = visitor.account;
  const std::string current = current_of(fields["current"]);
  if (!typed.empty() && !typed.starts_with('#')) {
    auto find = [account, typed](store::Database& database) { return database.search(account, typed, most_hits); };
    const std::vector<store::Hit> hits = co_await on_store(store_, std::move(find));
    Response response = html(200, hits_fragment(hits, current));
    co_await exchange.respond(std::move(response));
    co_return;
  }
  store::Listing listing;
  if (typed.empty()) {
    if (fields["shelf"] == "archive") listing.shelf = store::Listing::Shelf::Archive;
  } else {
    listing.tag = trimmed(std::string_view(typed).substr(1));
  }
  auto find = [account, listing](store::Database& database) { return database.list(account, most_listed, listing); };
  const std::vector<store::ConversationHead> list = co_await on_store(store_, std::move(find));
  const ListKind kind{.listing = std::move(listing), .removed = {}};
  Response response = html(200, list_fragment(list, current, kind));
  co_await exchange.respond(std::move(response));
}

}  // namespace server
