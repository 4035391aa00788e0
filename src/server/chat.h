// The web chat: its page, the messages sent from it, and the stream that brings an answer to it word by word.
//
// Conversations are in the store; here are the answers under way (live.h). Sending a message stores it and then starts
// its answer; the stream only follows (follow.h). So an answer goes on whoever reads it, and nothing but its end or the
// stop button ends it: a server that starts again goes on with what it finds open.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "server/engine_slot.h"
#include "server/exchange.h"
#include "server/live.h"
#include "server/views.h"
#include "server/visitor.h"
#include "store/store.h"

namespace server {

class Chat {
 public:
  // All must outlive the chat.
  // `temporary`: the store is in memory, and its conversations are in no list.
  Chat(EngineSlot& engines, store::Store& store, bool temporary = false)
      : engines_(engines), store_(store), temporary_(temporary), live_(store) {}

  // Goes on with what is open in the store, where its model and settings are those of now, and marks the rest as
  // interrupted; all of it, unless `resume`. Then records what is under way, until it is stopped.
  Awaitable<void> work(bool resume);
  // As long as the server runs: erases conversations a day after they were deleted, temporary ones a day after they
  // were changed; and with `titles` has the model write them.
  Awaitable<void> keep_house(bool titles);
  // Stores what there is. Streams end without an end of their answers, which pages take up again from another server.
  Awaitable<void> let_go();

  // What follows is asked by a visitor, and is of the conversations of his account alone: others' are not there.

  // GET / or /temporary: an empty conversation of its own.
  Awaitable<void> new_page(Exchange& exchange, const Visitor& visitor);
  // GET /c/ID; of temporary ones /t/ID, as all that follows.
  Awaitable<void> page(Exchange& exchange, const Visitor& visitor, const std::string& id);
  // POST /c/ID/messages. Throws base::Error if the engine takes no more, or the store fails.
  Awaitable<void> post_message(Exchange& exchange, const Visitor& visitor, const std::string& id);
  // GET /c/ID/stream/N: follows the answer that is message N.
  Awaitable<void> stream(Exchange& exchange, const Visitor& visitor, const std::string& id, std::int64_t number);
  // POST /c/ID/ACTION: of the answer that is under way (stop, pause, resume), or was interrupted (continue), or of the
  // conversation (rename, pin, unpin, archive, unarchive, tags, remove, restore; duplicate: up to the answer `at`).
  bool is_action(std::string_view action) const;
  Awaitable<void> act(Exchange& exchange, const Visitor& visitor, const std::string& id, const std::string& action);

  // GET /search?q=TEXT: the list of those that have it; of all, if there is none, or with shelf=archive of the
  // archive. #TAG lists those that have the tag.
  Awaitable<void> search(Exchange& exchange, const Visitor& visitor);

  static bool is_id(std::string_view text);

 private:
  // What a message is to follow.
  struct Before {
    std::optional<store::Conversation> conversation{};  // none: it is the first
    store::Tokens tokens{};                             // of the turns before, as far as the model of now knows them

    std::int64_t shown() const { return conversation ? conversation->shown : 0; }
  };

  Address address_of(const std::string& id) const { return {.id = id, .temporary = temporary_}; }
  std::vector<store::ConversationHead> list_of(store::Database& database, const std::string& account) const;
  std::optional<Response> refuse(const std::string& id, const std::string& after, const std::string& text,
                                 const Before& before) const;
  static engine::Turn turn_of(const Before& before, const std::string& text, bool think);
  Awaitable<Response> accept(const Request& request, Visitor visitor, std::string id);
  Awaitable<Response> go_on(std::string account, std::string id);
  static bool changes_list(std::string_view action);
  Awaitable<Response> duplicate(const Request& request, std::string account, std::string id);
  Awaitable<Response> change(const Request& request, std::string account, std::string id, std::string action);
  void control(const std::string& account, const std::string& id, const std::string& action);
  // Has it written on from where the store has it. Throws base::Error if the engine cannot.
  void start(const store::Unfinished& unfinished);
  Awaitable<void> purge();
  Awaitable<void> give_titles();
  Awaitable<void> give_title(const store::Unnamed& conversation);
  // Whether there is anything for the engine to do beside so many of one's own.
  bool others_need_engine(std::uint32_t mine) const;
  Awaitable<void> take_up_all(bool resume);
  Awaitable<bool> take_up(store::Unfinished unfinished, bool resume);
  // Whether the last server left an answer of it open, or may have, and nothing has become of that yet.
  bool is_to_be_taken_up(const std::string& conversation) const;
  // Pages come back sooner than a server that has just started gets to what they follow.
  Awaitable<void> until_taken_up(std::string conversation, std::optional<std::chrono::seconds> patience = {});
  Awaitable<void> interrupt(const store::Unfinished& unfinished);

  EngineSlot& engines_;
  store::Store& store_;
  const bool temporary_;
  LiveAnswers live_;
  bool may_be_unnamed_ = true;                           // a conversation whose answer has ended, or will
  std::optional<std::set<store::AnswerId>> to_take_up_;  // none until the store has told
};

}  // namespace server
