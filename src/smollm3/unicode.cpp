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

}  // namespace smollm3
