#include "store/import_own.h"

#include <limits>
#include <set>

#include "store/names.h"

namespace store {
namespace {

using nlohmann::json;

constexpr std::int64_t last_number = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t last_token = (1 << 23) - 1;

// Of the server's: an object or an array, or a text of which it was not known to be JSON.
std::string json_text(const Fields& fields, const char* name) {
  const json* value = fields.find(name);
  if (value == nullptr) return {};
  return storable(value->is_string() ? value->get<std::string>() : value->dump());
}

void append_run(Tokens& tokens, const Fields& run, const char* who, bool generated) {
  for (const json& id : run.array(who)) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > static_cast<std::uint64_t>(last_token)) {
      run.fail("has what is no token");
    }
    const std::size_t i = tokens.ids.size();
    if (i % 64 == 0) tokens.generated.push_back(0);
    if (generated) tokens.generated.back() |= std::uint64_t{1} << (i % 64);
    tokens.ids.push_back(id.get<std::int32_t>());
  }
}

Tokens tokens_from(const Fields& fields, const char* name) {
  Tokens tokens;
  for (const json& part : fields.array(name)) {
    const Fields run(part, fields.place() + ", '" + name + "',");
    append_run(tokens, run, "given", false);
    append_run(tokens, run, "generated", true);
  }
  return tokens;
}

AnswerRecord record_from(const Fields& fields) {
  AnswerRecord record{
      .settings = json_text(fields, "settings"),
      .fingerprint = {.tokenizer = storable(fields.text("tokenizer")), .whole = storable(fields.text("model"))},
      .prompt = tokens_from(fields, "prompt"),
      .said = tokens_from(fields, "tokens"),
      .epoch = static_cast<int>(fields.integer("epoch", std::numeric_limits<std::int32_t>::max()))};
  if (fields.find("interrupted") != nullptr) {
    const Fields end = fields.object("interrupted");
    record.last_event = static_cast<std::uint64_t>(end.integer("last_event", std::numeric_limits<std::int64_t>::max()));
    record.writing_seconds = end.number("writing_seconds");
    record.thinking_seconds = end.number("thinking_seconds");
  }
  return record;
}

Message message_from(const Fields& fields) {
  Message message{.number = fields.integer("number", last_number),
                  .parent = fields.integer("parent", last_number),
                  .text = storable(fields.text("text")),
                  .created = fields.integer("created", last_time)};
  const std::string role = fields.text("role");
  if (role != "user" && role != "assistant") fields.fail("is neither the user's nor the assistant's");
  message.role = role_of(role);
  if (message.role == Role::User) return message;
  message.thinking = storable(fields.text("thinking"));
  message.asked = json_text(fields, "asked");
  message.ended = json_text(fields, "ended");
  if (fields.find("interrupted") != nullptr) message.condition = Condition::Interrupted;
  if (message.condition == Condition::Whole && message.ended.empty()) fields.fail("has no 'ended'");
  if (message.condition != Condition::Whole && !message.ended.empty()) fields.fail("has 'interrupted' and 'ended'");
  return message;
}

std::vector<std::string> tags_from(const Fields& fields) {
  const json& list = fields.array("tags");
  if (list.size() > most_tags) fields.fail("has more than " + std::to_string(most_tags) + " tags");
  std::vector<std::string> tags;
  for (const json& one : list) {
    if (!one.is_string() || !is_tag(one.get<std::string>())) fields.fail("has a tag that is none");
    tags.push_back(one.get<std::string>());
  }
  return tags;
}

// Questions and answers take turns, from a question on, and each question has an answer.
void check_place(const WholeConversation& conversation, const Message& message, const Fields& fields) {
  const std::int64_t before = conversation.messages.empty() ? 0 : conversation.messages.back().number;
  if (message.number <= before) fields.fail("has a 'number' that is not above that of the message before");
  if (message.parent >= message.number) fields.fail("follows a later one");
  const Message* parent = conversation.find(message.parent);
  if (message.parent != 0 && parent == nullptr) fields.fail("follows one that is not there");
  const bool is_answer = parent != nullptr && parent->role == Role::User;
  if (is_answer != (message.role == Role::Assistant)) fields.fail("is not in turn");
}

void check_answers(const WholeConversation& conversation, const Fields& fields) {
  std::set<std::int64_t> answered;
  for (const Message& message : conversation.messages) answered.insert(message.parent);
  for (const Message& message : conversation.messages) {
    if (message.role == Role::User && !answered.contains(message.number)) {
      fields.fail("has no answer to message " + std::to_string(message.number));
    }
  }
  const Message* shown = conversation.find(conversation.shown);
  if (shown == nullptr || shown->role != Role::Assistant) fields.fail("has a 'shown' that is not one of its answers");
}

}  // namespace

std::string id_of(const std::string& text) {
  std::string id;
  for (const char byte : text) {
    if (byte == '-') continue;
    const char lower = byte >= 'A' && byte <= 'F' ? static_cast<char>(byte - 'A' + 'a') : byte;
    if (std::string_view("0123456789abcdef").find(lower) == std::string_view::npos) return {};
    id += lower;
  }
  return id.size() == 32 ? id : std::string();
}

std::optional<WholeConversation> own_conversation(const Fields& fields) {
  WholeConversation conversation;
  conversation.id = id_of(fields.text("id"));
  conversation.title = storable(fields.text("title"));
  conversation.created = fields.integer("created", last_time);
  conversation.changed = fields.integer("changed", last_time);
  conversation.pinned = fields.flag("pinned");
  conversation.archived = fields.flag("archived");
  conversation.tags = tags_from(fields);
  conversation.shown = fields.integer("shown", last_number);
  const json& messages = fields.array("messages");
  if (messages.empty()) return std::nullopt;
  if (messages.size() > most_messages) fields.fail("has more than " + std::to_string(most_messages) + " messages");
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Fields one(messages[i], "message " + std::to_string(i + 1));
    Message message = message_from(one);
    check_place(conversation, message, one);
    bytes += message.text.size() + message.thinking.size();
    if (bytes > most_text) fields.fail("has more than " + std::to_string(most_text >> 20) + " MiB of text");
    if (message.role == Role::Assistant) conversation.answers.emplace(message.number, record_from(one));
    conversation.messages.push_back(std::move(message));
  }
  check_answers(conversation, fields);
  return conversation;
}

}  // namespace store
