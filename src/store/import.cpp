#include "store/import.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/utf8.h"
#include "store/export.h"
#include "store/foreign.h"
#include "store/import_own.h"
#include "store/json_fields.h"

namespace store {
namespace {

using base::Error;
using nlohmann::json;

// The UTF-16 unit that \uXXXX stands for; 0 if no such thing is there.
unsigned unit_at(std::string_view text, std::size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return 0;
  unsigned unit = 0;
  for (const char digit : text.substr(at + 2, 4)) {
    const std::size_t value = std::string_view("0123456789abcdefABCDEF").find(digit);
    if (value == std::string_view::npos) return 0;
    unit = unit << 4 | static_cast<unsigned>(value < 16 ? value : value - 6);
  }
  return unit;
}

// Halves of characters, which programs leave that cut texts anywhere, and which no JSON parser takes: U+FFFD instead.
void mend_halves(std::string& text) {
  for (std::size_t at = text.find('\\'); at != std::string::npos; at = text.find('\\', at)) {
    const unsigned unit = unit_at(text, at);
    if (unit < 0xD800 || unit > 0xDFFF) {
      at += 2;
    } else if (const unsigned next = unit_at(text, at + 6); unit < 0xDC00 && next >= 0xDC00 && next <= 0xDFFF) {
      at += 12;
    } else {
      text.replace(at + 2, 4, "fffd");
      at += 6;
    }
  }
}

// A first reading, which keeps nothing: whether all of it is JSON, and whose. So nothing is taken of a file that is cut
// off, and it does not matter in which order an object has its fields.
class Outline final : public nlohmann::json_sax<json> {
 public:
  Outline(const std::string& file, const std::string& text) {
    // The parser takes a zero byte for the end.
    position_ = text.find('\0') + 1;
    if (position_ == 0 && json::sax_parse(text, this)) return;
    if (depth_ > most_json_depth) throw Error(file, "is nested too deeply", "name a file of conversations");
    throw Error(file, "is not JSON: byte " + std::to_string(position_), "export it again: it may have been cut off");
  }

  bool is_array() const { return is_array_; }
  bool is_empty() const { return is_empty_; }
  bool is_foreign() const { return is_foreign_; }
  bool is_own() const { return format_ == export_format && has_conversations_; }
  std::uint64_t version() const { return version_; }

  // For the parser.
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(std::int64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool binary(json::binary_t&) override { return true; }
  bool number_unsigned(std::uint64_t value) override {
    if (depth_ == 1 && field_ == "version") version_ = value;
    return true;
  }
  bool string(std::string& value) override {
    if (depth_ == 1 && field_ == "format") format_ = value;
    return true;
  }
  bool key(std::string& name) override {
    if (depth_ == 1) field_ = name;
    is_foreign_ = is_foreign_ || (is_array_ && depth_ == 2 && (name == "mapping" || name == "chat"));
    return true;
  }
  bool start_object(std::size_t) override { return go_down(); }
  bool start_array(std::size_t) override {
    if (depth_ == 0) is_array_ = true;
    if (depth_ == 1 && field_ == "conversations") has_conversations_ = true;
    return go_down();
  }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
    position_ = position;
    return false;
  }

 private:
  bool go_down() {
    if (depth_ == 1) is_empty_ = false;
    return ++depth_ <= most_json_depth;
  }

  int depth_ = 0;
  bool is_array_ = false, is_empty_ = true, is_foreign_ = false, has_conversations_ = false;
  std::string field_;  // of the outermost object
  std::string format_;
  std::uint64_t version_ = 0;
  std::size_t position_ = 0;
};

void check(const Outline& outline, const std::string& file) {
  if (outline.is_own()) {
    if (outline.version() <= export_version) return;
    throw Error(file, "was written by a later version of this program", "use that, or have it export Markdown");
  }
  if (outline.is_array() && (outline.is_foreign() || outline.is_empty())) return;
  throw Error(file, "has no conversations that this program knows",
              "name an export of smollm3 (JSON), ChatGPT (conversations.json) or Open WebUI");
}

std::optional<WholeConversation> conversation_from(const json& value, bool own) {
  const Fields fields(value, "it");
  if (own) return own_conversation(fields);
  if (fields.find("mapping") != nullptr) return tree_of(chatgpt_conversation(fields));
  if (fields.find("chat") != nullptr) return tree_of(open_webui_conversation(fields));
  fields.fail("is neither ChatGPT's nor Open WebUI's");
}

Error named(const Error& error, const json& value, const std::string& file, std::size_t place) {
  std::string name = "conversation " + std::to_string(place);
  if (value.is_object()) {
    const auto title = value.find("title");
    if (title != value.end() && title->is_string()) {
      const auto& text = title->get_ref<const std::string&>();
      name += " (" + text.substr(0, base::utf8::cut(text, 60)) + ")";
    }
  }
  return {file, name + ": " + error.subject() + " " + error.why(), error.remedy()};
}

Imported read_one(std::string_view text, bool own, const std::string& file, std::size_t place) {
  Imported imported{.place = place};
  const json value = json::parse(text);
  try {
    imported.conversation = conversation_from(value, own);
  } catch (const Error& error) {
    imported.error = named(error, value, file, place);
  }
  return imported;
}

// Takes each element of the outermost array, or of the outermost object's "conversations", of text that is JSON. So
// there is never a tree of the whole file.
void take_elements(std::string_view text, bool own, const std::function<void(std::string_view)>& take) {
  constexpr std::size_t none = std::string_view::npos;
  const int level = own ? 2 : 1;
  bool inside = !own;
  int depth = 0;
  std::string_view name;     // the last string of the outermost level
  std::size_t begin = none;  // of the element
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool closes = c == ']' || c == '}';
    if (inside && depth == level && (c == ',' || closes)) {
      if (begin != none) take(text.substr(begin, i - begin));
      begin = none;
    } else if (inside && depth == level && begin == none && std::string_view(" \t\r\n").find(c) == none) {
      begin = i;
    }
    if (c == '"') {
      const std::size_t end = end_of_string(text, i);
      if (depth == 1) name = text.substr(i + 1, end - i - 1);
      i = end;
    } else if (c == '[' || c == '{') {
      if (own && depth == 1) inside = c == '[' && name == "conversations";
      ++depth;
    } else if (closes) {
      --depth;
    }
  }
}

}  // namespace

void read_conversations(const std::string& file, std::string text, const std::function<void(Imported)>& take) {
  mend_halves(text);
  const Outline outline(file, text);
  check(outline, file);
  const bool own = outline.is_own();
  std::size_t place = 0;
  take_elements(text, own, [&](std::string_view element) { take(read_one(element, own, file, ++place)); });
}

}  // namespace store
