#include "store/json_fields.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace store {

using nlohmann::json;

// The parser tells of depths itself, but then it looks through all of an object's fields whenever one is complete.
json parse_json(std::string_view text) {
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') i = end_of_string(text, i);
    if (text[i] == '[' || text[i] == '{') ++depth;
    if (text[i] == ']' || text[i] == '}') --depth;
    if (depth > most_json_depth) return json(json::value_t::discarded);
  }
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::size_t end_of_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at, text.size() - 1);
}

Fields::Fields(const json& object, std::string place) : object_(object), place_(std::move(place)) {
  if (!object_.is_object()) fail("is not an object");
}

const json* Fields::find(const char* name) const {
  const auto found = object_.find(name);
  return found != object_.end() && !found->is_null() ? &*found : nullptr;
}

std::string Fields::text(const char* name) const {
  const json* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_string()) fail("has a '" + std::string(name) + "' that is not text");
  return value->get<std::string>();
}

bool Fields::flag(const char* name) const {
  const json* value = find(name);
  if (value == nullptr) return false;
  if (!value->is_boolean()) fail("has a '" + std::string(name) + "' that is not true or false");
  return value->get<bool>();
}

std::int64_t Fields::integer(const char* name, std::int64_t most) const {
  const json* value = find(name);
  if (value == nullptr) return 0;
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() > static_cast<std::uint64_t>(most)) {
    fail("has a '" + std::string(name) + "' that is not a whole number from 0 to " + std::to_string(most));
  }
  return value->get<std::int64_t>();
}

double Fields::number(const char* name) const {
  const json* value = find(name);
  if (value == nullptr) return 0;
  if (!value->is_number() || value->get<double>() < 0) {
    fail("has a '" + std::string(name) + "' that is not a number from 0 on");
  }
  return value->get<double>();
}

Time Fields::time(const char* name) const {
  double seconds = number(name);
  while (seconds >= 1e11) seconds /= 1000;
  return std::min<Time>(std::llround(seconds * 1000), last_time);
}

const json& Fields::array(const char* name) const {
  static const json none = json::array();
  const json* value = find(name);
  if (value == nullptr) return none;
  if (!value->is_array()) fail("has a '" + std::string(name) + "' that is not an array");
  return *value;
}

Fields Fields::object(const char* name) const {
  static const json none = json::object();
  const json* value = find(name);
  if (value == nullptr) return {none, place_};
  if (!value->is_object()) fail("has a '" + std::string(name) + "' that is not an object");
  return {*value, place_};
}

void Fields::fail(const std::string& why) const { throw base::Error(place_, why); }

}  // namespace store
