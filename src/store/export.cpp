#include "store/export.h"

#include <algorithm>
#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <ctime>
#include <nlohmann/json.hpp>

#include "store/json_fields.h"
#include "store/names.h"

namespace store {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

bool is_generated(const Tokens& tokens, std::size_t i) {
  return i / 64 < tokens.generated.size() && (tokens.generated[i / 64] >> (i % 64) & 1) != 0;
}

// [{"given": [1, 2]}, {"generated": [3]}, …]
ordered_json runs_of(const Tokens& tokens) {
  ordered_json runs = ordered_json::array();
  for (std::size_t i = 0; i < tokens.ids.size(); ++i) {
    const bool generated = is_generated(tokens, i);
    const char* who = generated ? "generated" : "given";
    if (i == 0 || generated != is_generated(tokens, i - 1)) runs.push_back({{who, ordered_json::array()}});
    runs.back()[who].push_back(tokens.ids[i]);
  }
  return runs;
}

void put(ordered_json& object, const char* name, const std::string& text) {
  if (!text.empty()) object[name] = text;
}

// What the server keeps as JSON, as that; a text that only looks like it stays a text.
void put_json(ordered_json& object, const char* name, const std::string& text) {
  const json value = parse_json(text);
  if (value.is_object() || value.is_array()) {
    object[name] = value;
  } else {
    put(object, name, text);
  }
}

void put_record(ordered_json& object, const AnswerRecord& record, bool interrupted) {
  put_json(object, "settings", record.settings);
  put(object, "tokenizer", record.fingerprint.tokenizer);
  put(object, "model", record.fingerprint.whole);
  if (!record.prompt.ids.empty()) object["prompt"] = runs_of(record.prompt);
  if (!record.said.ids.empty()) object["tokens"] = runs_of(record.said);
  if (record.epoch != 0) object["epoch"] = record.epoch;
  if (!interrupted) return;
  object["interrupted"] = {{"last_event", record.last_event},
                           {"writing_seconds", record.writing_seconds},
                           {"thinking_seconds", record.thinking_seconds}};
}

ordered_json json_of(const Message& message, const AnswerRecord* record) {
  ordered_json object{{"number", message.number},
                      {"parent", message.parent},
                      {"role", name_of(message.role)},
                      {"created", message.created}};
  put(object, "thinking", message.thinking);
  object["text"] = message.text;
  put_json(object, "asked", message.asked);
  put_json(object, "ended", message.ended);
  if (record != nullptr) put_record(object, *record, message.condition != Condition::Whole);
  return object;
}

ordered_json messages_of(const WholeConversation& conversation) {
  ordered_json messages = ordered_json::array();
  for (const Message& message : conversation.messages) {
    const auto record = conversation.answers.find(message.number);
    messages.push_back(json_of(message, record != conversation.answers.end() ? &record->second : nullptr));
  }
  return messages;
}

std::string text_of(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string date_of(Time time) {
  const std::time_t seconds = static_cast<std::time_t>(time / 1000);
  std::tm date{};
  char text[64];
  if (gmtime_r(&seconds, &date) == nullptr) return {};
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &date)};
}

std::string on_one_line(std::string text) {
  for (char& byte : text) {
    if (byte == '\n' || byte == '\r') byte = ' ';
  }
  return text;
}

// Folded away where Markdown is shown as HTML, and a quotation everywhere.
std::string folded(std::string_view thinking) {
  std::string text = "<details>\n<summary>Thinking</summary>\n\n";
  for (std::size_t begin = 0; begin < thinking.size();) {
    const std::size_t end = std::min(thinking.find('\n', begin), thinking.size());
    text.append("> ").append(thinking.substr(begin, end - begin)).append("\n");
    begin = end + 1;
  }
  return text + "\n</details>\n\n";
}

}  // namespace

std::string export_begin() {
  return "{\"format\":\"" + std::string(export_format) + "\",\"version\":" + std::to_string(export_version) +
         ",\"conversations\":[\n";
}

std::string to_json(const WholeConversation& conversation) {
  ordered_json object{{"id", conversation.id},           {"title", conversation.title},
                      {"created", conversation.created}, {"changed", conversation.changed},
                      {"pinned", conversation.pinned},   {"archived", conversation.archived},
                      {"tags", conversation.tags},       {"shown", conversation.shown}};
  object["messages"] = messages_of(conversation);
  return text_of(object);
}

// Not of what a server adds to it, which another version may write otherwise.
std::string digest_of(const WholeConversation& conversation) {
  ordered_json said = ordered_json::array({conversation.created});
  for (const Message& message : conversation.messages) {
    said.push_back(
        {message.number, message.parent, name_of(message.role), message.created, message.thinking, message.text});
  }
  std::string digits = boost::uuids::to_string(boost::uuids::name_generator_sha1(boost::uuids::uuid{})(text_of(said)));
  std::erase(digits, '-');
  return digits;
}

std::string to_markdown(const Conversation& conversation) {
  std::string text = "# " + on_one_line(conversation.title) + "\n\n*" + date_of(conversation.created) + "*\n";
  for (const Message* message : conversation.path_to(conversation.shown)) {
    text += message->role == Role::User ? "\n## User\n\n" : "\n## Assistant\n\n";
    if (!message->thinking.empty()) text += folded(message->thinking);
    text += message->text;
    if (!message->text.ends_with('\n')) text += '\n';
    if (message->condition != Condition::Whole) text += "\n*(interrupted)*\n";
  }
  return text;
}

}  // namespace store
