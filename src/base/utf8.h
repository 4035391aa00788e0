// UTF-8, taken apart and put together: the one decoder of the program.
//
// Text that is not well-formed is dealt with as Unicode recommends: the unit is the maximal subpart, the longest start
// of a well-formed character that stands there, or else one byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace base::utf8 {

inline constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD, for what is not well-formed

// What a text starts with.
struct Char {
  // Incomplete: the text ends within a character, which could become a valid one.
  enum class Form : std::uint8_t { Valid, Invalid, Incomplete };

  char32_t code_point;  // of a valid one, else 0
  std::uint8_t length;  // in bytes, from 1 to 4: of the character, or else of the maximal subpart
  Form form;

  bool valid() const { return form == Form::Valid; }
};

Char decode_long(std::string_view text);  // as decode(); the part of it that is not worth being inline

// `text` is not empty.
inline Char decode(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1, Char::Form::Valid};
  return decode_long(text);
}

// `code_point`: up to U+10FFFF.
void append(std::string& text, char32_t code_point);

bool is_valid(std::string_view text);

// Characters; of what is not well-formed each byte counts as one.
std::size_t count(std::string_view text);

// The most bytes of `text`, up to `most`, that do not end within a character.
std::size_t cut(std::string_view text, std::size_t most);

// The bytes of `text` without a last character that is incomplete.
std::size_t complete(std::string_view text);

// Where the last character of `text` starts; `text` is not empty. A last byte that ends no character is one of its own.
std::size_t last_start(std::string_view text);

// Moves out of `held` all that further bytes cannot change: characters as they are, and U+FFFD for each maximal subpart
// that is none. The start of a character stays.
std::string take_certain(std::string& held);

}  // namespace base::utf8
