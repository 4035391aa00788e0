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
  std::transform(s.begin(), s.end(), s.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return s;
}

// As # asks for: with a point, and with zeros up to so many significant digits.
std::string alternate_form(std::string_view digits, int significant) {
  const std::size_t end = std::min(digits.find('e'), digits.size());
  std::string mantissa(digits.substr(0, end));
  if (mantissa.find('.') == std::string::npos) mantissa += '.';
  const std::size_t leading = mantissa.find_first_not_of("0.");
  // A zero counts as one digit; of 0.00… those after the point that come first do not count.
  std::size_t have = leading == std::string::npos ? mantissa.size() - 1 : 0;
  if (leading != std::string::npos) {
    for (std::size_t i = leading; i < mantissa.size(); ++i) have += mantissa[i] != '.' ? 1 : 0;
  }
  if (have < static_cast<std::size_t>(significant)) mantissa.append(static_cast<std::size_t>(significant) - have, '0');
  return mantissa.append(digits.substr(end));
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

std::string prefix_of(char type) {
  return type == 'b' || type == 'o' || type == 'x' || type == 'X' ? std::string{'0', type} : std::string();
}

std::string magnitude(Int i, char type) {
  const int base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
  std::string digits;
  do {
    const int digit = static_cast<int>(i % base);
    digits.push_back("0123456789abcdef"[digit < 0 ? -digit : digit]);
    i /= base;
  } while (i != 0);
  std::reverse(digits.begin(), digits.end());
  return type == 'X' ? upper(digits) : digits;
}

std::string magnitude(double x, const NumberSpec& spec) {
  x = std::fabs(x);
  const bool shout = spec.type == 'E' || spec.type == 'F' || spec.type == 'G';
  if (std::isnan(x)) return shout ? "NAN" : spec.type == '%' ? "nan%" : "nan";
  if (std::isinf(x)) return shout ? "INF" : spec.type == '%' ? "inf%" : "inf";
  std::string out;
  int significant = 0;  // digits that the alternate form keeps
  switch (spec.type) {
    case 'e':
    case 'E':
      out = format_float(x, 'e', spec.precision < 0 ? 6 : spec.precision);
      break;
    case 'f':
    case 'F':
      out = format_float(x, 'f', spec.precision < 0 ? 6 : spec.precision);
      break;
    case '%':
      out = format_float(x * 100, 'f', spec.precision < 0 ? 6 : spec.precision);
      break;
    case 'g':
    case 'G':
    case 'n':
      significant = spec.precision < 0 ? 6 : std::max(1, spec.precision);
      out = format_float(x, 'g', significant);
      break;
    default:
      if (spec.precision < 0) {
        out = repr(x);
        break;
      }
      const int precision = std::max(1, spec.precision);
      significant = precision;
      // Like g, but it keeps a digit after the point and therefore turns to an exponent one digit earlier.
      if (decimal_exponent(std::strtod(format_float(x, 'e', precision - 1).c_str(), nullptr)) >= precision - 1) {
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
  if (spec.alternate) out = alternate_form(out, significant);
  if (spec.type == '%') out += '%';
  return shout ? upper(out) : out;
}

std::string group_digits(const std::string& digits, const NumberSpec& spec, std::size_t least) {
  const bool whole = !prefix_of(spec.type).empty();
  const std::size_t end =
      std::min(digits.find_first_not_of(whole ? "0123456789abcdefABCDEF" : "0123456789"), digits.size());
  if (end == 0) return std::string(least > digits.size() ? least - digits.size() : 0, '0') + digits;  // an infinity
  const std::size_t rest = digits.size() - end, size = whole ? 4 : 3;
  const auto length = [&](std::size_t count) { return count + (spec.grouping != 0 ? (count - 1) / size : 0); };
  std::size_t count = end;
  while (length(count) + rest < least) ++count;
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    if (spec.grouping != 0 && i > 0 && (count - i) % size == 0) out.push_back(spec.grouping);
    out.push_back(i < count - end ? '0' : digits[i - (count - end)]);
  }
  return out + digits.substr(end);
}

std::string sign_of(bool negative, char sign) {
  if (negative) return "-";
  return sign == '-' ? std::string() : std::string(1, sign);
}

}  // namespace jinja
