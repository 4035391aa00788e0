#include "smollm3/tokenizer_words.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"
#include "smollm3/unicode.h"

namespace smollm3 {
namespace {

struct Char {
  CharClass kind = CharClass::Other;
  std::uint8_t length = 0;  // in bytes; 0 past the end

  bool is(CharClass wanted) const { return length > 0 && kind == wanted; }
};

constexpr std::array<CharClass, 128> ascii_classes() {
  std::array<CharClass, 128> classes{};
  for (char c = 'a'; c <= 'z'; ++c) classes[static_cast<unsigned char>(c)] = CharClass::Letter;
  for (char c = 'A'; c <= 'Z'; ++c) classes[static_cast<unsigned char>(c)] = CharClass::Letter;
  for (char c = '0'; c <= '9'; ++c) classes[static_cast<unsigned char>(c)] = CharClass::Number;
  for (char c : {' ', '\t', '\n', '\v', '\f', '\r'}) classes[static_cast<unsigned char>(c)] = CharClass::Space;
  return classes;
}
constexpr auto kAscii = ascii_classes();

inline Char char_at(std::string_view text, std::size_t at) {
  if (at >= text.size()) return {};
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {kAscii[byte], 1};
  const base::utf8::Char c = base::utf8::decode_long(text.substr(at));
  if (!c.valid()) return {CharClass::Other, 1};
  return {char_class(c.code_point), c.length};
}

inline std::size_t end_of_run(std::string_view text, std::size_t at, CharClass kind) {
  for (Char c = char_at(text, at); c.is(kind); c = char_at(text, at)) at += c.length;
  return at;
}

bool is_newline(char c) { return c == '\r' || c == '\n'; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// Bytes of the English contraction at an apostrophe, or 0.
std::size_t contraction_length(std::string_view text) {
  const char first = text.size() > 1 ? lower(text[1]) : '\0';
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const char second = text.size() > 2 ? lower(text[2]) : '\0';
  const bool two =
      (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
  return two ? 3 : 0;
}

std::size_t space_word_end(std::string_view text, std::size_t begin) {
  std::size_t after_newline = 0;
  std::size_t last = begin;  // start of the run's last character
  std::size_t end = begin;
  for (Char c = char_at(text, end); c.is(CharClass::Space); c = char_at(text, end)) {
    last = end;
    end += c.length;
    if (is_newline(text[last])) after_newline = end;
  }
  if (after_newline > 0) return after_newline;
  // The last space of a run belongs to the word that follows.
  return last > begin && end < text.size() ? last : end;
}

}  // namespace

std::size_t word_end(std::string_view text, std::size_t begin) {
  const char first = text[begin];
  if (first == '\'') {
    if (const std::size_t length = contraction_length(text.substr(begin)); length > 0) return begin + length;
  }

  const Char c = char_at(text, begin);
  std::size_t at = begin + c.length;
  if (c.kind == CharClass::Letter) return end_of_run(text, at, CharClass::Letter);
  if (c.kind == CharClass::Number) {
    for (int digits = 1; digits < 3; ++digits) {
      const Char next = char_at(text, at);
      if (!next.is(CharClass::Number)) break;
      at += next.length;
    }
    return at;
  }

  const Char next = char_at(text, at);
  if (next.is(CharClass::Letter) && !is_newline(first)) return end_of_run(text, at + next.length, CharClass::Letter);

  if (c.kind == CharClass::Other || (first == ' ' && next.is(CharClass::Other))) {
    at = end_of_run(text, at, CharClass::Other);
    while (at < text.size() && is_newline(text[at])) ++at;
    return at;
  }
  return space_word_end(text, begin);
}

}  // namespace smollm3
