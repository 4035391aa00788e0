// Messages in the OpenAI form, checked and brought into the form that templates read (see chat.h for the rules).
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "jinja/value.h"

namespace smollm3 {

struct MessageRules {
  bool keep_tool_calls;                            // the template reads tool_calls by itself
  std::span<const std::string_view> trusted_tags;  // that past answers may hold as special tokens
};

// A list of dicts, each with role and content, a string. Errors name the message by its index.
jinja::Value normalized_messages(const nlohmann::ordered_json& messages, const MessageRules& rules);

// An object from the arguments of a call, which may be JSON in a string; discarded if it is neither.
nlohmann::ordered_json call_arguments(const nlohmann::ordered_json& arguments);

// Whether text, if it is JSON, is nested at most 100 deep and has no object of more than 1,000 keys: an ordered object
// looks through its keys one by one.
bool within_json_bounds(std::string_view text);

// Parses JSON within those bounds; discarded if it is not that.
nlohmann::ordered_json parse_bounded(std::string_view text);

}  // namespace smollm3
