// What the browser is shown: pages and fragments of pages, rendered from the templates in web/templates.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/answer.h"
#include "server/exchange.h"
#include "server/model_facts.h"
#include "store/records.h"

namespace server {

std::string render_template(std::string_view name, const nlohmann::ordered_json& context);

// A page or a fragment as it is sent: kept by nobody.
Response html(unsigned status, std::string body, Headers headers = {});

// A question and its answer.
struct Round {
  std::int64_t number = 0;  // of the answer, among the conversation's messages
  std::string prompt{};
  Answer answer{};
  ModelFacts facts{};  // of the model that was asked
};

// Where a conversation is on this server.
struct Address {
  std::string id{};
  bool temporary = false;

  std::string path() const { return (temporary ? "/t/" : "/c/") + id; }
};

struct ChatPage {
  Address address{};
  std::string title{};
  std::int64_t last = 0;  // number of the last message
  std::vector<Round> rounds{};
  std::vector<store::ConversationHead> list{};  // of all conversations
  std::string signed_in{};                      // the account's name; empty where nobody has to sign in
};

// The whole page. There may be no rounds yet: then it greets.
std::string chat_page(const ChatPage& page, const ModelFacts& facts);
// What is added to the page when a message was sent: the question, and the place of the answer. `list`: as it is now;
// empty if the page keeps the one it has.
std::string sent_fragment(const Address& conversation, const Round& round,
                          const std::vector<store::ConversationHead>& list = {});
// What a list of conversations is, besides them.
struct ListKind {
  store::Listing listing{};
  std::optional<store::ConversationHead> removed{};  // one that was just deleted
};
// `current`: id of the one that the page shows.
std::string list_fragment(const std::vector<store::ConversationHead>& list, const std::string& current,
                          const ListKind& kind = {});
std::string notice_fragment(std::string_view message, std::string_view link = {}, std::string_view link_text = {});
// Of an answer that a page waits for, and that there is not any more.
std::string lost_answer_fragment(std::int64_t number);
std::string error_page(unsigned status, std::string_view message);

// In place of the list: what a search has found.
std::string hits_fragment(const std::vector<store::Hit>& hits, const std::string& current);

// Longest message the composer takes, and longest title, in characters.
inline constexpr std::size_t most_text = 200'000;
inline constexpr std::size_t most_title = 200;

// What a page that follows an answer is shown of it. What update() makes of an answer depends on nothing but the answer
// before and the answer now, so a page that comes back with the number of the last event it has goes on where it was.
class AnswerView {
 public:
  enum class Page {
    Fresh,    // as chat_page() and sent_fragment() made it: nothing of the answer is shown
    Back,     // shows `shown`, and whatever the status was then
    Unknown,  // nobody knows what it shows: the first update replaces it all
  };

  // `facts` must outlive the view.
  AnswerView(std::int64_t number, const ModelFacts& facts, Page page = Page::Fresh, const Answer& shown = {});

  // The fragment that brings the page up to date; empty if nothing changed. `answer` must be a continuation of the one
  // before.
  std::string update(const Answer& answer);
  // Whether the last update() closed the thinking.
  bool just_thought() const { return just_thought_; }

 private:
  std::int64_t number_;
  const ModelFacts& facts_;
  bool unknown_ = false;
  std::size_t thinking_shown_ = 0;  // bytes
  bool thinking_open_ = false;
  bool thought_ = false;
  bool just_thought_ = false;
  bool over_ = false;
  std::size_t text_shown_ = 0;  // bytes
  std::vector<std::string> blocks_;
  std::optional<std::string> status_;  // none: not known
};

}  // namespace server
