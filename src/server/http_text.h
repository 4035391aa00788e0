// The small texts of HTTP: percent-encoding, forms, and events.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace server {

// "%41+b" to "A+b" ("A b" with `plus_is_space`); nullopt if a '%' is not followed by two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

// The fields of an application/x-www-form-urlencoded body or a query; of a name that comes twice the last counts, and
// pairs that cannot be decoded are left out.
std::map<std::string, std::string> parse_form(std::string_view body);

// Bytes that are not UTF-8 become U+FFFD, and CR LF and CR become LF.
std::string clean_text(std::string_view text);

// A number of up to six digits, and nothing else.
std::optional<std::int64_t> parse_number(const std::string& digits);

// Without what is blank at its ends.
std::string_view trimmed(std::string_view text);

// A server-sent event: `data` may have several lines. No name makes it a plain message.
std::string sse_event(std::string_view data, std::string_view name = {});
// A plain message with an id, by which the reader names it when it comes back.
std::string sse_message(std::string_view data, std::string_view id);

// Lower-case hexadecimal digits of `bytes` random bytes.
std::string random_hex(std::size_t bytes);

}  // namespace server
