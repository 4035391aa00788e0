#include "base/utf8.h"

namespace base::utf8 {
namespace {

bool continues(char byte) { return (byte & 0xC0) == 0x80; }

// The start of the character that a byte may be in: of the continuations in front of it, and of their lead.
std::size_t lead_of(std::string_view text, std::size_t at) {
  for (std::size_t back = 0; back < 4 && back <= at; ++back) {
    if (!continues(text[at - back])) return at - back;
  }
  return at;
}

}  // namespace

Char decode_long(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1, Char::Form::Valid};
  if (lead < 0xC2 || lead > 0xF4) return {0, 1, Char::Form::Invalid};

  const std::uint8_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code_point = lead & (0x7Fu >> length);
  // The second byte's range is narrower after these leads: it excludes overlong forms, surrogates and > U+10FFFF.
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::uint8_t i = 1; i < length; ++i) {
    if (i == text.size()) return {0, i, Char::Form::Incomplete};
    if (byte(i) < low || byte(i) > high) return {0, i, Char::Form::Invalid};
    code_point = code_point << 6 | (byte(i) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {code_point, length, Char::Form::Valid};
}

void append(std::string& text, char32_t code_point) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  const auto tail = [&](int shift) { put(0x80 | (code_point >> shift & 0x3F)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    tail(0);
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    tail(6);
    tail(0);
  } else {
    put(0xF0 | code_point >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

bool is_valid(std::string_view text) {
  while (!text.empty()) {
    const Char c = decode(text);
    if (!c.valid()) return false;
    text.remove_prefix(c.length);
  }
  return true;
}

std::size_t count(std::string_view text) {
  std::size_t characters = 0;
  for (; !text.empty(); ++characters) {
    const Char c = decode(text);
    text.remove_prefix(c.valid() ? c.length : 1);
  }
  return characters;
}

std::size_t cut(std::string_view text, std::size_t most) {
  return most >= text.size() ? text.size() : lead_of(text, most);
}

std::size_t complete(std::string_view text) {
  if (text.empty()) return 0;
  const std::size_t start = lead_of(text, text.size() - 1);
  return decode(text.substr(start)).form == Char::Form::Incomplete ? start : text.size();
}

std::size_t last_start(std::string_view text) {
  const std::size_t start = lead_of(text, text.size() - 1);
  const Char c = decode(text.substr(start));
  return c.valid() && start + c.length == text.size() ? start : text.size() - 1;
}

std::string take_certain(std::string& held) {
  std::string text;
  std::size_t at = 0;
  while (at < held.size()) {
    const Char c = decode(std::string_view(held).substr(at));
    if (c.form == Char::Form::Incomplete) break;
    if (c.valid()) {
      text.append(held, at, c.length);
    } else {
      text += replacement;
    }
    at += c.length;
  }
  held.erase(0, at);
  return text;
}

}  // namespace base::utf8
