#include "jinja/format_number.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "jinja/failure.h"
#include "jinja/format.h"
#include "jinja/python.h"

namespace jinja {
namespace {

std::string upper(std::string s) {
  std::transform(s.begin(), s.end(), s.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return s;
}

int decimal_exponent(double x) {
  const std::string s = format_float(x, 'e', 16);
  int exponent = 0;
  const std::size_t e = s.find('e');
  std::from_chars(s.data() + e + (s[e + 1] == '+' ? 2 : 1), s.data() + s.size(), exponent);
  return exponent;
}

}  // namespace

std::string format_float(double x, char kind, int precision) {
  if (precision > static_cast<int>(max_width)) throw Failure("a precision is too large");
  const auto format = kind == 'e'   ? std::chars_format::scientific
                      : kind == 'f' ? std::chars_format::fixed
                                    : std::chars_format::general;
  std::string buffer(static_cast<std::size_t>(precision) + 400, '\0');
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), x, format, precision).ptr;
  buffer.resize(static_cast<std::size_t>(end - buffer.data()));
  return buffer;
}

double round_to(double x, int digits) {
  if (!std::isfinite(x) || digits > 330) return x;
  if (digits < -330) return std::copysign(0.0, x);
  if (digits >= 0) return std::strtod(format_float(x, 'f', digits).c_str(), nullptr);
  // To tens and up: the exact integer's digits decide; a half goes to the even neighbour.
  std::string s = format_float(std::fabs(x), 'f', 330);
  const std::size_t point = s.find('.');
  const auto cut = static_cast<std::size_t>(-digits);
  if (cut > point) return std::copysign(0.0, x);
  const std::string kept = cut == point ? "0" : s.substr(0, point - cut);
  std::string rest = s.substr(point - cut);
  rest.erase(std::remove(rest.begin(), rest.end(), '.'), rest.end());
  std::string half(rest.size(), '0');
  half[0] = '5';
  const bool odd = (kept.back() - '0') % 2 == 1;
  const bool up = rest > half || (rest == half && odd);
  double rounded = std::strtod((kept + "e" + std::to_string(cut)).c_str(), nullptr);
  if (up) {
    std::string bumped = kept;
    std::size_t i = bumped.size();
    while (i > 0 && bumped[i - 1] == '9') bumped[--i] = '0';
    if (i == 0) {
      bumped.insert(bumped.begin(), '1');
    } else {
      ++bumped[i - 1];
    }
    rounded = std::strtod((bumped + "e" + std::to_string(cut)).c_str(), nullptr);
  }
  return std::copysign(rounded, x);
}

std::string magnitude(Int i, char type, bool alternate) {
  const int base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
  std::string digits;
  do {
    const int digit = static_cast<int>(i % base);
    digits.push_back("0123456789abcdef"[digit < 0 ? -digit : digit]);
    i /= base;
  } while (i != 0);
  std::reverse(digits.begin(), digits.end());
  if (alternate && base != 10) digits.insert(0, base == 2 ? "0b" : base == 8 ? "0o" : "0x");
  return type == 'X' ? upper(digits) : digits;
}

std::string magnitude(double x, const NumberSpec& spec) {
  x = std::fabs(x);
  const bool shout = spec.type == 'E' || spec.type == 'F' || spec.type == 'G';
  if (std::isnan(x)) return shout ? "NAN" : spec.type == '%' ? "nan%" : "nan";
  if (std::isinf(x)) return shout ? "INF" : spec.type == '%' ? "inf%" : "inf";
  std::string out;
  switch (spec.type) {
    case 'e':
    case 'E': out = format_float(x, 'e', spec.precision < 0 ? 6 : spec.precision); break;
    case 'f':
    case 'F': out = format_float(x, 'f', spec.precision < 0 ? 6 : spec.precision); break;
    case '%': out = format_float(x * 100, 'f', spec.precision < 0 ? 6 : spec.precision) + "%"; break;
    case 'g':
    case 'G':
    case 'n': out = format_float(x, 'g', spec.precision < 0 ? 6 : std::max(1, spec.precision)); break;
    default:
      if (spec.precision < 0) {
        out = repr(x);
        break;
      }
      const int precision = std::max(1, spec.precision);
      // Like g, but it keeps a digit after the point and therefore turns to an exponent one digit earlier.
      if (x != 0 && decimal_exponent(std::strtod(format_float(x, 'e', precision - 1).c_str(), nullptr)) >= precision - 1) {
        out = format_float(x, 'e', precision - 1);
        const std::size_t e = out.find('e');
        std::size_t end = e;
        if (out.find('.') < e) {
          while (out[end - 1] == '0') --end;
          if (out[end - 1] == '.') --end;
          out.erase(end, e - end);
        }
      } else {
        out = format_float(x, 'g', precision);
        if (out.find_first_of(".e") == std::string::npos) out += ".0";
      }
  }
  return shout ? upper(out) : out;
}

std::string group_digits(const std::string& digits, char grouping) {
  if (grouping == 0) return digits;
  const std::size_t end = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string out;
  for (std::size_t i = 0; i < end; ++i) {
    if (i > 0 && (end - i) % 3 == 0) out.push_back(grouping);
    out.push_back(digits[i]);
  }
  return out + digits.substr(end);
}

std::string sign_of(bool negative, char sign) {
  if (negative) return "-";
  return sign == '-' ? std::string() : std::string(1, sign);
}

}  // namespace jinja
