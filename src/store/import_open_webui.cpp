// What Open WebUI exports ("Export chats"): its chats as they are in its database.
#include <array>
#include <utility>

#include "store/foreign.h"
#include "store/import_own.h"

namespace store {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<std::string_view, char>, 6> entities = {
    {{"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#x27;", '\''}, {"&#39;", '\''}, {"&amp;", '&'}}};

std::string without_entities(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    std::size_t length = 1;
    char character = text.front();
    for (const auto& [entity, meaning] : entities) {
      if (!text.starts_with(entity)) continue;
      length = entity.size();
      character = meaning;
      break;
    }
    plain += character;
    text.remove_prefix(length);
  }
  return plain;
}

// Lines of a quotation, without the marks before them.
std::string without_quotation(std::string_view text) {
  std::string plain;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    if (line.starts_with('>')) line.remove_prefix(line.starts_with("> ") ? 2 : 1);
    plain.append(line).append(end < text.size() ? "\n" : "");
    begin = end + 1;
  }
  return plain;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of('\n');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of('\n') + 1 - begin);
}

// An answer may begin with what the model thought, as a fold of HTML with a summary and a quotation.
void take_thinking(ForeignMessage& message) {
  constexpr std::string_view begin = "<details type=\"reasoning\"", end = "</details>", summary_end = "</summary>";
  const std::string_view text = trimmed(message.text);
  const std::size_t over = text.find(end);
  if (!text.starts_with(begin) || over == std::string_view::npos) return;
  std::string_view inside = text.substr(0, over);
  const std::size_t summary = inside.find(summary_end);
  if (summary == std::string_view::npos) return;
  inside.remove_prefix(summary + summary_end.size());
  message.thinking = without_quotation(without_entities(trimmed(inside)));
  message.text = std::string(trimmed(text.substr(over + end.size())));
}

// Older versions have a list of parts where pictures were sent.
std::string content_of(const Fields& fields) {
  const json* content = fields.find("content");
  if (content == nullptr || !content->is_array()) return fields.text("content");
  std::string text;
  for (const json& part : *content) {
    const Fields piece(part, fields.place() + ", a part of it,");
    if (!text.empty()) text += "\n\n";
    text += piece.text("type") == "text" ? piece.text("text") : "[image]";
  }
  return text;
}

ForeignMessage message_from(const std::string& id, const Fields& fields) {
  ForeignMessage message{.id = id, .parent = fields.text("parentId"), .created = fields.time("timestamp")};
  message.children = children_in(fields, "childrenIds");
  const std::string role = fields.text("role");
  if (role != "user" && role != "assistant") return message;
  message.text = content_of(fields);
  if (role == "assistant") take_thinking(message);
  if (message.text.empty() && message.thinking.empty()) return message;
  message.role = role == "user" ? Role::User : Role::Assistant;
  return message;
}

}  // namespace

ForeignConversation open_webui_conversation(const Fields& fields) {
  const Fields chat = fields.object("chat");
  const Fields history = chat.object("history");
  ForeignConversation conversation{.id = id_of(fields.text("id")),
                                   .title = fields.text("title"),
                                   .created = fields.time("created_at"),
                                   .changed = fields.time("updated_at"),
                                   .pinned = fields.flag("pinned"),
                                   .current = history.text("currentId")};
  if (conversation.title.empty()) conversation.title = chat.text("title");
  if (history.find("messages") == nullptr) return conversation;
  history.object("messages");
  for (const auto& [id, message] : history.find("messages")->items()) {
    conversation.messages.push_back(message_from(id, {message, "message '" + id + "'"}));
  }
  return conversation;
}

}  // namespace store
