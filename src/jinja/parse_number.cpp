#include "jinja/parse_number.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "jinja/failure.h"
#include "jinja/operators.h"
#include "jinja/strings.h"
#include "jinja/unicode.h"

namespace jinja {
namespace {

// Without whitespace around it, and with the decimal digits of every script as ASCII.
std::string stripped(std::string_view text) {
  const std::string s = strings::strip(Text::from_input(std::string(text)), std::nullopt, strings::Both).bytes();
  std::string out;
  for (std::size_t at = 0; at < s.size();) {
    const auto [code, size] = unicode::decode(s, at);
    if (code >= 0x80 && unicode::is_decimal(code)) {
      out.push_back(static_cast<char>('0' + unicode::decimal_value(code)));
    } else {
      out.append(s, at, size);
    }
    at += size;
  }
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Removes single underscores between digits; absent if there are others.
std::optional<std::string> without_underscores(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '_') {
      out.push_back(s[i]);
    } else if (i == 0 || i + 1 == s.size() || s[i - 1] == '_' || s[i + 1] == '_') {
      return std::nullopt;
    }
  }
  return out;
}

}  // namespace

std::optional<Int> parse_integer(std::string_view text, Int base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  std::string s = stripped(text);
  bool negative = false;
  if (!s.empty() && (s[0] == '+' || s[0] == '-')) {
    negative = s[0] == '-';
    s.erase(0, 1);
  }
  const char letter = s.size() > 1 && s[0] == '0' ? static_cast<char>(s[1] | 32) : '\0';
  const Int named = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  if (named != 0 && (base == 0 || base == named)) {
    base = named;
    s.erase(0, s.size() > 2 && s[2] == '_' ? 3 : 2);
  } else if (base == 0) {
    if (s.size() > 1 && s[0] == '0' && s.find_first_not_of("0_") != std::string::npos) return std::nullopt;
    base = 10;
  }
  const auto digits = without_underscores(s);
  if (!digits || digits->empty()) return std::nullopt;
  Int value = 0;
  for (const char c : *digits) {
    const bool is_letter = (c | 32) >= 'a' && (c | 32) <= 'z';
    if (!is_digit(c) && !is_letter) return std::nullopt;
    const Int digit = is_digit(c) ? c - '0' : (c | 32) - 'a' + 10;
    if (digit >= base) return std::nullopt;
    value = add_checked(multiply_checked(value, base), digit);
  }
  return negative ? -value : value;
}

std::optional<double> parse_float(std::string_view text) {
  const auto plain = without_underscores(stripped(text));
  if (!plain || plain->empty()) return std::nullopt;
  std::string_view s = *plain;
  const bool negative = s[0] == '-';
  if (negative || s[0] == '+') s.remove_prefix(1);
  std::string lower(s);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c;
  double value;
  if (lower == "inf" || lower == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (lower == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (s.empty() || !(is_digit(s[0]) || s[0] == '.')) return std::nullopt;
    const auto [end, error] = std::from_chars(lower.data(), lower.data() + lower.size(), value);
    if (end != lower.data() + lower.size() || error == std::errc::invalid_argument) return std::nullopt;
    if (error == std::errc::result_out_of_range) value = std::strtod(lower.c_str(), nullptr);
  }
  return negative ? -value : value;
}

}  // namespace jinja
