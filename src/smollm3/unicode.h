// Characters as the tokenizer's word rule sees them, and UTF-8.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace smollm3 {

// \p{L}, \p{N} and \s of the word rule, in Unicode 15.1; every code point is in one of the four.
enum class CharClass : std::uint8_t { Other, Letter, Number, Space };

CharClass char_class(char32_t code_point);

// The classes as runs of code points, ascending: each value is the first code point of a run << 2 | its class.
std::span<const std::uint32_t> char_class_runs();

// What a text starts with. `length` is the bytes of the character if it is well-formed; otherwise of the maximal
// subpart: the longest start of a well-formed character there, or 1. Incomplete: the text ends within a character.
struct Utf8Char {
  enum class Form : std::uint8_t { Valid, Invalid, Incomplete };
  char32_t code_point;  // of a valid one
  std::uint8_t length;
  Form form;
};

Utf8Char decode_utf8(std::string_view text);  // text is not empty

}  // namespace smollm3
