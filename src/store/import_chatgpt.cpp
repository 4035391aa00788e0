// conversations.json of the archive that ChatGPT exports. Nobody describes it officially; this is what is found in it:
// a tree of nodes ("mapping"), of which many have no message, or one that the page does not show.
#include <algorithm>

#include "store/foreign.h"
#include "store/import_own.h"

namespace store {
namespace {

using nlohmann::json;

// A picture or a recording is not in the file; that it was there is said.
std::string text_of_part(const json& part, const std::string& place) {
  if (part.is_string()) return part.get<std::string>();
  const Fields fields(part, place + ", a part of it,");
  if (std::string text = fields.text("text"); !text.empty()) return text;  // what was said in a recording
  return fields.text("content_type").starts_with("image") ? "[image]" : "[attachment]";
}

std::string text_of(const Fields& content) {
  std::string text = content.text("text");
  for (const json& part : content.array("parts")) {
    const std::string more = text_of_part(part, content.place());
    if (!text.empty() && !more.empty()) text += "\n\n";
    text += more;
  }
  return text;
}

std::string thinking_of(const Fields& content) {
  std::string thinking;
  for (const json& part : content.array("thoughts")) {
    const Fields thought(part, content.place() + ", a thought,");
    if (!thinking.empty()) thinking += "\n\n";
    thinking += thought.text("content");
  }
  return thinking;
}

// Instructions that are sent along, and how long it thought.
bool is_about_it(const std::string& type) {
  return type == "user_editable_context" || type == "model_editable_context" || type == "reasoning_recap";
}

// What the page shows: what the user wrote, and the assistant to the user. System messages, tools, and what the
// assistant wrote to them is left out.
void read_message(const Fields& fields, ForeignMessage& message) {
  const std::string role = fields.object("author").text("role");
  const Fields metadata = fields.object("metadata");
  const std::string recipient = fields.text("recipient");
  const Fields content = fields.object("content");
  const std::string type = content.text("content_type");
  message.created = fields.time("create_time");
  if ((role != "user" && role != "assistant") || is_about_it(type)) return;
  if (!recipient.empty() && recipient != "all") return;
  if (metadata.flag("is_visually_hidden_from_conversation")) return;
  if (type == "thoughts") {
    message.thinking = thinking_of(content);
  } else {
    message.text = text_of(content);
  }
  if (message.text.empty() && message.thinking.empty()) return;
  message.role = role == "user" ? Role::User : Role::Assistant;
}

}  // namespace

ForeignConversation chatgpt_conversation(const Fields& fields) {
  ForeignConversation conversation{.id = id_of(fields.text("conversation_id")),
                                   .title = fields.text("title"),
                                   .created = fields.time("create_time"),
                                   .changed = fields.time("update_time"),
                                   .pinned = fields.flag("is_starred"),
                                   .current = fields.text("current_node")};
  if (conversation.id.empty()) conversation.id = id_of(fields.text("id"));
  fields.object("mapping");
  for (const auto& [id, node] : fields.find("mapping")->items()) {
    const Fields entry(node, "message '" + id + "'");
    ForeignMessage message{.id = id, .parent = entry.text("parent"), .children = children_in(entry, "children")};
    if (entry.find("message") != nullptr) read_message(entry.object("message"), message);
    conversation.messages.push_back(std::move(message));
  }
  return conversation;
}

}  // namespace store
