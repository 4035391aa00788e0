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
#include <utility>
#include <vector>

#include "engine/sampler.h"
#include "server/api_error.h"
#include "server/engine_slot.h"
#include "server/exchange.h"
#include "server/follow.h"
#include "server/live.h"
#include "server/views.h"
#include "server/visitor.h"
#include "store/store.h"

namespace server {

// A message, and how it is to be answered.
struct Message {
  std::string text{};
  std::string after{};  // number of the message that it follows: the last that its sender has seen
  bool think = true;
  engine::Sampling sampling{};
  std::uint32_t max_tokens = 0;         // as of engine::Limits
  std::optional<std::string> system{};  // the conversation's system prompt from here on; none: as before
};

// Why a message, or what else was asked, did not come about; and for a page what to do, as a link.
struct Refusal : ApiError {
  Refusal(unsigned http_status, const std::string& error_code, const std::string& why, std::string where = {},
          const std::string& what_to_do = {})
      : ApiError(http_status, what_to_do.empty() ? why : why + " " + what_to_do, {}, error_code),
        message(why),
        link(std::move(where)),
        link_text(what_to_do) {}

  std::string message, link, link_text;
};

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

  // What pages and terminals do alike, for an account.

  // As store::Database::list; none of temporary ones.
  Awaitable<std::vector<store::ConversationHead>> list(std::string account, int most = most_listed);
  static constexpr int most_listed = 200;
  // The shown branch of one, its answers as they are now, without ChatPage::list. None: there is no such conversation.
  Awaitable<std::optional<ChatPage>> read(std::string account, std::string id);
  struct Sent {
    std::int64_t number;  // of the answer, which has begun
    std::shared_ptr<const ModelFacts> facts;
  };
  // Throws Refusal, base::Error if the engine takes no more, or the store fails, and store::Conflict as
  // store::Database::accept. `client`: as of engine::Asker.
  Awaitable<Sent> send(Message message, Visitor visitor, std::string client, std::string id);
  // ACTION of the answer that is under way: stop, pause, resume.
  Awaitable<void> steer(std::string account, std::string id, std::string action);
  // Has an answer that was interrupted gone on with; false if there is none. Throws Refusal.
  Awaitable<bool> go_on(std::string account, std::string id);
  // Follows the answer that is message N.
  Awaitable<void> follow(Exchange& exchange, std::string account, std::string id, std::int64_t number, StreamForm form);

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
  std::vector<store::ConversationHead> list_of(store::Database& database, const std::string& account,
                                               int most = most_listed) const;
  void check(const std::string& id, const Message& message, const Before& before) const;
  static engine::Turn turn_of(const Before& before, const Message& message, const std::string& system);
  Awaitable<Response> accept(const Request& request, Visitor visitor, std::string id);
  Awaitable<void> until_ready(std::string id);
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
