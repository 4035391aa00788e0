// JSON that somebody else wrote, read with errors that name the place.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "store/records.h"

namespace store {

// What reads it or writes it again calls itself for each level.
inline constexpr int most_json_depth = 100;
// Of a conversation. A server takes up to 8 MB of text.
inline constexpr std::size_t most_messages = 100'000;
inline constexpr std::size_t most_text = std::size_t{64} << 20;  // bytes

inline constexpr Time last_time = 253'402'300'799'999;  // the end of the year 9999

// Discarded if it is not JSON, or is nested too deeply.
nlohmann::json parse_json(std::string_view text);

// Of JSON, where the string ends that begins with the quotation mark at `at`: the place of its other quotation mark.
std::size_t end_of_string(std::string_view text, std::size_t at);

// An object's fields. What is absent or null is empty, 0 or false; what is of another type throws base::Error, as does
// the constructor for what is no object.
class Fields {
 public:
  // `place`: what errors call it, as in "message 2".
  Fields(const nlohmann::json& object, std::string place);

  const nlohmann::json* find(const char* name) const;  // nullptr if there is none
  std::string text(const char* name) const;
  bool flag(const char* name) const;
  std::int64_t integer(const char* name, std::int64_t most) const;  // from 0 on
  double number(const char* name) const;                            // from 0 on
  // Other programs' times: numbers of seconds, or what is so large that it must be of a smaller unit.
  Time time(const char* name) const;
  const nlohmann::json& array(const char* name) const;
  Fields object(const char* name) const;

  [[noreturn]] void fail(const std::string& why) const;
  const std::string& place() const { return place_; }

 private:
  const nlohmann::json& object_;
  std::string place_;
};

}  // namespace store
