// What Python's strings know of characters: their classes, their case, and indexing by code point. Bytes that are not
// UTF-8 count as one character each, outside every class.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace jinja::unicode {

using CodePoint = std::uint32_t;
constexpr CodePoint invalid = 0xFFFFFFFF;

struct Char {
  CodePoint code;    // invalid for a byte that is not part of UTF-8
  std::size_t size;  // in bytes, at least 1
};

// The character that starts at s[at]; at < s.size().
Char decode(std::string_view s, std::size_t at);
void append(std::string& out, CodePoint code);
std::size_t length(std::string_view s);
// Where each character starts, and at the end the size of s.
std::vector<std::size_t> offsets(std::string_view s);

bool is_printable(CodePoint c);
bool is_alpha(CodePoint c);
bool is_decimal(CodePoint c);
int decimal_value(CodePoint c);  // of a decimal digit
bool is_digit(CodePoint c);
bool is_numeric(CodePoint c);
bool is_lower(CodePoint c);
bool is_upper(CodePoint c);
bool is_title(CodePoint c);
bool is_space(CodePoint c);
bool is_cased(CodePoint c);
bool is_case_ignorable(CodePoint c);
bool is_identifier_start(CodePoint c);
bool is_identifier_part(CodePoint c);

// Up to three characters; unused ones are 0.
struct Mapped {
  CodePoint codes[3];
};
Mapped upper(CodePoint c);
Mapped lower(CodePoint c);
Mapped title(CodePoint c);
Mapped fold(CodePoint c);

}  // namespace jinja::unicode
