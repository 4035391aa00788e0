#include "jinja/unicode.h"

#include <algorithm>
#include <iterator>

#include "base/utf8.h"

namespace jinja::unicode {
namespace {

struct ClassRange {
  CodePoint first, last;
  std::uint16_t flags;
};
struct CaseRun {
  CodePoint first, last;
  std::uint8_t step;
  std::int32_t delta;
};
struct CaseSpecial {
  CodePoint code, to0, to1, to2;
};

#include "jinja/unicode_tables.inc"

bool has(CodePoint c, Flag flag) {
  const auto* range = std::upper_bound(std::begin(class_ranges), std::end(class_ranges), c,
                                       [](CodePoint code, const ClassRange& r) { return code < r.first; });
  if (range == std::begin(class_ranges)) return false;
  --range;
  return c <= range->last && (range->flags & flag) != 0;
}

template <std::size_t R, std::size_t S>
Mapped map(CodePoint c, const CaseRun (&runs)[R], const CaseSpecial (&special)[S]) {
  const auto* exact = std::lower_bound(std::begin(special), std::end(special), c,
                                       [](const CaseSpecial& s, CodePoint code) { return s.code < code; });
  if (exact != std::end(special) && exact->code == c) return {{exact->to0, exact->to1, exact->to2}};
  const auto* run = std::upper_bound(std::begin(runs), std::end(runs), c,
                                     [](CodePoint code, const CaseRun& r) { return code < r.first; });
  if (run != std::begin(runs)) {
    --run;
    if (c <= run->last && (c - run->first) % run->step == 0) {
      return {{static_cast<CodePoint>(static_cast<std::int64_t>(c) + run->delta), 0, 0}};
    }
  }
  return {{c, 0, 0}};
}

}  // namespace

Char decode(std::string_view s, std::size_t at) {
  const base::utf8::Char c = base::utf8::decode(s.substr(at));
  return c.valid() ? Char{c.code_point, c.length} : Char{invalid, 1};
}

void append(std::string& out, CodePoint code) { base::utf8::append(out, code); }

std::size_t length(std::string_view s) { return base::utf8::count(s); }

std::vector<std::size_t> offsets(std::string_view s) {
  std::vector<std::size_t> out;
  out.reserve(s.size() + 1);
  for (std::size_t at = 0; at < s.size(); at += decode(s, at).size) out.push_back(at);
  out.push_back(s.size());
  return out;
}

bool is_printable(CodePoint c) { return has(c, Printable); }
bool is_alpha(CodePoint c) { return has(c, Alpha); }
bool is_decimal(CodePoint c) { return has(c, Decimal); }
// Unicode has them in runs from 0 to 9, some of which follow each other.
int decimal_value(CodePoint c) {
  CodePoint zero = c;
  while (zero > 0 && is_decimal(zero - 1)) --zero;
  return static_cast<int>((c - zero) % 10);
}

bool is_digit(CodePoint c) { return has(c, Digit); }
bool is_numeric(CodePoint c) { return has(c, Numeric); }
bool is_lower(CodePoint c) { return has(c, Lower); }
bool is_upper(CodePoint c) { return has(c, Upper); }
bool is_title(CodePoint c) { return has(c, Title); }
bool is_space(CodePoint c) { return has(c, Space); }
bool is_cased(CodePoint c) { return has(c, Cased); }
bool is_case_ignorable(CodePoint c) { return has(c, CaseIgnorable); }
bool is_identifier_start(CodePoint c) { return has(c, IdStart); }
bool is_identifier_part(CodePoint c) { return has(c, IdContinue); }

Mapped upper(CodePoint c) { return map(c, upper_runs, upper_special); }
Mapped lower(CodePoint c) { return map(c, lower_runs, lower_special); }
Mapped title(CodePoint c) { return map(c, title_runs, title_special); }
Mapped fold(CodePoint c) { return map(c, fold_runs, fold_special); }

}  // namespace jinja::unicode
