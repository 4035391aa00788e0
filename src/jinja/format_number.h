// Numbers in the notations that both ways of formatting share.
#pragma once

#include <string>
#include <string_view>

#include "jinja/value.h"

namespace jinja {

struct NumberSpec {
  char fill = ' ';
  char align = 0;  // one of < > = ^, or 0 for the type's own
  char sign = '-';
  bool alternate = false;
  std::size_t width = 0;
  char grouping = 0;
  int precision = -1;  // -1: none was given
  char type = 0;       // 0: none was given
};

// Digits without a sign, in the base of the type d, b, o or x (X in upper case).
std::string magnitude(Int i, char type);
// What stands before them in the alternate form: 0x and the like.
std::string prefix_of(char type);
// The digits of a float by e, f, g, % or 0 for Python's default.
std::string magnitude(double x, const NumberSpec& spec);
// Puts `grouping` between thousands of the part before the point, or between fours of digits in the base of b, o and x;
// before that, as many zeros as make it `least` bytes.
std::string group_digits(const std::string& digits, const NumberSpec& spec, std::size_t least);
std::string sign_of(bool negative, char sign);

// Widths and precisions come from the template: more than this is refused.
constexpr std::size_t max_width = 100'000;

}  // namespace jinja
