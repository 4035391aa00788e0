#include <algorithm>
#include <map>

#include "jinja/failure.h"
#include "jinja/format.h"
#include "jinja/methods.h"
#include "jinja/python.h"
#include "jinja/strings.h"
#include "jinja/unicode.h"

namespace jinja {
namespace {

using strings::Side;
using unicode::CodePoint;

std::string_view bytes(const Value& self) { return self.text().bytes(); }

// A method's string result is markup if its string was.
Value like(const Value& self, Text text) { return Value(std::move(text), self.safe()); }

template <Text (*function)(const Text&)>
Value plain(const Value& self, const Args& args) {
  Bound bound("the method", args, {});
  return like(self, function(self.text()));
}

template <bool (*function)(std::string_view)>
Value whole(const Value& self, const Args& args) {
  Bound bound("the method", args, {});
  return Value(function(bytes(self)));
}

// Whether all characters, of which there must be one, are of a class.
template <bool (*is)(CodePoint)>
bool all_are(std::string_view s) {
  for (std::size_t at = 0; at < s.size(); at += unicode::decode(s, at).size) {
    if (!is(unicode::decode(s, at).code)) return false;
  }
  return !s.empty();
}

bool is_alnum(CodePoint c) {
  return unicode::is_alpha(c) || unicode::is_decimal(c) || unicode::is_digit(c) || unicode::is_numeric(c);
}

bool all_ascii(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool all_printable(std::string_view s) { return s.empty() || all_are<unicode::is_printable>(s); }

bool identifier(std::string_view s) {
  return !s.empty() && unicode::is_identifier_start(unicode::decode(s, 0).code) &&
         all_are<unicode::is_identifier_part>(s);
}

std::optional<Text> optional_text(const Bound& bound, std::size_t i) {
  return bound.has_value(i) ? std::optional<Text>(bound.text(i, "")) : std::nullopt;
}

template <Side side>
Value strip(const Value& self, const Args& args) {
  Bound bound("strip", args, {"chars", "/"});
  return like(self, strings::strip(self.text(), optional_text(bound, 0), side));
}

template <std::vector<Text> (*function)(const Text&, const std::optional<Text>&, Int)>
Value split(const Value& self, const Args& args) {
  Bound bound("split", args, {"sep", "maxsplit"});
  return strings::to_list(function(self.text(), optional_text(bound, 0), bound.machine_integer(1, -1)), self.safe());
}

Value splitlines(const Value& self, const Args& args) {
  Bound bound("splitlines", args, {"keepends"});
  return strings::to_list(strings::split_lines(self.text(), bound.machine_integer(0, 0, 32) != 0), self.safe());
}

Value replace(const Value& self, const Args& args) {
  Bound bound("replace", args, {"old", "new", "count", "/"}, 2);
  Text from = bound.text(0, ""), to = bound.text(1, "");
  if (self.safe()) {
    from = escape_html(bound[0]);
    to = escape_html(bound[1]);
  }
  return like(self, strings::replace(self.text(), from, to, bound.machine_integer(2, -1)));
}

Value join(const Value& self, const Args& args) {
  Bound bound("join", args, {"iterable", "/"}, 1);
  std::vector<Text> parts;
  for (const Value& item : iterate(bound[0])) {
    if (!item.is_string() && !self.safe())
      throw Failure(concat("join was given a value of type ", type_name(item)), "map it to strings");
    parts.push_back(self.safe() ? escape_html(item) : item.text());
    Budget::spend_text(parts.back().size());
  }
  return like(self, strings::join(self.text(), parts));
}

// The part of a string that the arguments start and end, by character, leave; `first` is the number of its first one.
struct Window {
  std::size_t begin, end;  // bytes
  bool possible;           // false if start lies after the end of the string or of the window
};

Window window(const Value& self, const Bound& bound, std::size_t start_at) {
  const std::string_view s = bytes(self);
  if (!bound.has_value(start_at) && !bound.has_value(start_at + 1)) return {0, s.size(), true};
  Budget::spend_text(s.size() * 8);
  const auto at = unicode::offsets(s);
  const Int n = static_cast<Int>(at.size() - 1);
  const auto index = [&](std::size_t i, Int fallback) {
    if (!bound.has_value(i)) return fallback;
    const Int given = bound.integer(i, 0);
    return given < 0 ? std::max<Int>(given + n, 0) : given;
  };
  const Int start = index(start_at, 0), end = std::min(index(start_at + 1, n), n);
  if (start > end) return {0, 0, false};
  return {at[static_cast<std::size_t>(start)], at[static_cast<std::size_t>(end)], true};
}

template <bool from_right, bool must_be_there>
Value find(const Value& self, const Args& args) {
  Bound bound("find", args, {"sub", "start", "end", "/"}, 1);
  const std::string wanted = bound.text(0, "").bytes();
  const Window w = window(self, bound, 1);
  Budget::spend_text(bytes(self).size());
  const std::string_view part = bytes(self).substr(w.begin, w.end - w.begin);
  const std::size_t at = !w.possible  ? std::string::npos
                         : from_right ? part.rfind(wanted)
                                      : strings::position_of(wanted, part);
  if (at == std::string::npos) {
    if (must_be_there) throw Failure(concat("the string to find, ", repr(wanted), ", is not there"), "ask by in first");
    return Value(-1);
  }
  return Value(unicode::length(bytes(self).substr(0, w.begin + at)));
}

Value count(const Value& self, const Args& args) {
  Bound bound("count", args, {"sub", "start", "end", "/"}, 1);
  const std::string wanted = bound.text(0, "").bytes();
  const Window w = window(self, bound, 1);
  if (!w.possible) return Value(0);
  const std::string_view part = bytes(self).substr(w.begin, w.end - w.begin);
  Budget::spend_text(part.size());
  if (wanted.empty()) return Value(unicode::length(part) + 1);
  int n = 0;
  for (std::size_t at = part.find(wanted); at != std::string::npos; at = part.find(wanted, at + wanted.size())) ++n;
  return Value(n);
}

template <bool at_start>
Value affix(const Value& self, const Args& args) {
  Bound bound(at_start ? "startswith" : "endswith", args, {"prefix", "start", "end", "/"}, 1);
  const Window w = window(self, bound, 1);
  const auto matches = [&](const Value& affix_value) {
    if (!affix_value.is_string()) {
      throw Failure(
          concat("startswith and endswith want a string or a tuple of strings, not a ", type_name(affix_value)));
    }
    const std::string_view part = bytes(self).substr(w.begin, w.end - w.begin);
    const std::string_view a = bytes(affix_value);
    return w.possible && (at_start ? part.starts_with(a) : part.ends_with(a));
  };
  if (bound[0].is(Value::Kind::Tuple)) {
    return Value(std::any_of(bound[0].items().begin(), bound[0].items().end(), matches));
  }
  return Value(matches(bound[0]));
}

template <bool at_start>
Value remove_affix(const Value& self, const Args& args) {
  Bound bound("removeprefix", args, {"prefix", "/"}, 1);
  const std::string affix_bytes = bound.text(0, "").bytes();
  const Text& s = self.text();
  if (at_start && s.bytes().starts_with(affix_bytes)) return like(self, s.substr(affix_bytes.size()));
  if (!at_start && s.bytes().ends_with(affix_bytes)) return like(self, s.substr(0, s.size() - affix_bytes.size()));
  return self;
}

template <bool from_right>
Value partition(const Value& self, const Args& args) {
  Bound bound("partition", args, {"sep", "/"}, 1);
  const Text separator = bound.text(0, "");
  if (separator.empty()) throw Failure("partition was given an empty separator");
  const Text& s = self.text();
  Budget::spend_text(s.size());
  const std::size_t at = from_right ? s.bytes().rfind(separator.bytes()) : s.bytes().find(separator.bytes());
  if (at == std::string::npos) {
    const Value empty = like(self, {});
    return Value::tuple(from_right ? Values{empty, empty, self} : Values{self, empty, empty});
  }
  return Value::tuple(
      {like(self, s.substr(0, at)), like(self, separator), like(self, s.substr(at + separator.size()))});
}

Value center(const Value& self, const Args& args) {
  Bound bound("center", args, {"width", "fillchar", "/"}, 1);
  return like(self, strings::center(self.text(), bound.machine_integer(0, 0), bound.text(1, " ")));
}

template <Side side>
Value justify(const Value& self, const Args& args) {
  Bound bound("ljust", args, {"width", "fillchar", "/"}, 1);
  return like(self, strings::justify(self.text(), bound.machine_integer(0, 0), bound.text(1, " "), side));
}

Value zfill(const Value& self, const Args& args) {
  Bound bound("zfill", args, {"width", "/"}, 1);
  const Text& s = self.text();
  const bool has_sign = !s.empty() && (s.bytes()[0] == '+' || s.bytes()[0] == '-');
  Text out = s.substr(0, has_sign ? 1 : 0);
  const Int width = bound.machine_integer(0, 0) - (has_sign ? 1 : 0);
  out.append(strings::justify(s.substr(out.size()), width, Text::from_template("0"), Side::Right));
  return like(self, out);
}

Value expandtabs(const Value& self, const Args& args) {
  Bound bound("expandtabs", args, {"tabsize"});
  return like(self, strings::expand_tabs(self.text(), bound.machine_integer(0, 8, 32)));
}

Value format(const Value& self, const Args& args) { return format_braces(self, args); }

Value format_map(const Value& self, const Args& args) {
  Bound bound("format_map", args, {"mapping", "/"}, 1);
  Args named;
  if (!bound[0].is(Value::Kind::Dict)) return format_braces(self, named);  // which fails if it looks for one
  for (const auto& [key, value] : bound[0].dict().items()) named.named.emplace_back(str(key).bytes(), value);
  return format_braces(self, named);
}

Value unsupported(const Value&, const Args&) {
  throw Failure("this method of strings is not part of the language here");
}

}  // namespace

Method string_method(std::string_view name) {
  static const std::map<std::string_view, Method> methods = {
      {"capitalize", plain<strings::capitalize>},
      {"casefold", plain<strings::fold_case>},
      {"center", center},
      {"count", count},
      {"encode", unsupported},
      {"endswith", affix<false>},
      {"expandtabs", expandtabs},
      {"find", find<false, false>},
      {"format", format},
      {"format_map", format_map},
      {"index", find<false, true>},
      {"isalnum", whole<all_are<is_alnum>>},
      {"isalpha", whole<all_are<unicode::is_alpha>>},
      {"isascii", whole<all_ascii>},
      {"isdecimal", whole<all_are<unicode::is_decimal>>},
      {"isdigit", whole<all_are<unicode::is_digit>>},
      {"isidentifier", whole<identifier>},
      {"islower", whole<strings::is_lower>},
      {"isnumeric", whole<all_are<unicode::is_numeric>>},
      {"isprintable", whole<all_printable>},
      {"isspace", whole<all_are<unicode::is_space>>},
      {"istitle", whole<strings::is_title>},
      {"isupper", whole<strings::is_upper>},
      {"join", join},
      {"ljust", justify<Side::Left>},
      {"lower", plain<strings::lower>},
      {"lstrip", strip<Side::Left>},
      {"maketrans", unsupported},
      {"partition", partition<false>},
      {"removeprefix", remove_affix<true>},
      {"removesuffix", remove_affix<false>},
      {"replace", replace},
      {"rfind", find<true, false>},
      {"rindex", find<true, true>},
      {"rjust", justify<Side::Right>},
      {"rpartition", partition<true>},
      {"rsplit", split<strings::split_from_right>},
      {"rstrip", strip<Side::Right>},
      {"split", split<strings::split>},
      {"splitlines", splitlines},
      {"startswith", affix<true>},
      {"strip", strip<Side::Both>},
      {"swapcase", plain<strings::swap_case>},
      {"title", plain<strings::title>},
      {"translate", unsupported},
      {"upper", plain<strings::upper>},
      {"zfill", zfill},
  };
  const auto found = methods.find(name);
  return found == methods.end() ? nullptr : found->second;
}

}  // namespace jinja
