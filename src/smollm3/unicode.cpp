#include "smollm3/unicode.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace smollm3 {
namespace {

// One byte per code point up to the last that has a class; those above are Other.
std::vector<CharClass> expand_runs() {
  const auto runs = char_class_runs();
  std::vector<CharClass> classes(runs.back() >> 2, CharClass::Other);
  for (std::size_t i = 0; i + 1 < runs.size(); ++i) {
    std::fill(classes.begin() + (runs[i] >> 2), classes.begin() + (runs[i + 1] >> 2), CharClass(runs[i] & 3));
  }
  return classes;
}

}  // namespace

CharClass char_class(char32_t code_point) {
  static const std::vector<CharClass> classes = expand_runs();
  return code_point < classes.size() ? classes[code_point] : CharClass::Other;
}

Utf8Char decode_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1, Utf8Char::Form::Valid};
  if (lead < 0xC2 || lead > 0xF4) return {0, 1, Utf8Char::Form::Invalid};

  const std::uint8_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code_point = lead & (0x7Fu >> length);
  // The second byte's range is narrower after these leads: it excludes overlong forms, surrogates and > U+10FFFF.
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::uint8_t i = 1; i < length; ++i) {
    if (i == text.size()) return {0, i, Utf8Char::Form::Incomplete};
    if (byte(i) < low || byte(i) > high) return {0, i, Utf8Char::Form::Invalid};
    code_point = code_point << 6 | (byte(i) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {code_point, length, Utf8Char::Form::Valid};
}

}  // namespace smollm3
