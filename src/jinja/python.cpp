#include "jinja/python.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "jinja/failure.h"
#include "jinja/object.h"
#include "jinja/unicode.h"

namespace jinja {
namespace {

using Kind = Value::Kind;

constexpr std::size_t steps_per_string = 8;  // what a string of its own costs in memory

void append_hex(std::string& out, char kind, unicode::CodePoint code, int digits) {
  out.push_back('\\');
  out.push_back(kind);
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[code >> shift & 15]);
}

// A code point as Python escapes it: \xe9, \u20ac, \U0001f600.
void append_escape(std::string& out, unicode::CodePoint code) {
  if (code < 0x100) {
    append_hex(out, 'x', code, 2);
  } else if (code < 0x10000) {
    append_hex(out, 'u', code, 4);
  } else {
    append_hex(out, 'U', code, 8);
  }
}

void append_repr(std::string& out, const Value& v);

void append_items(std::string& out, const Values& items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(out, items[i]);
  }
}

// A namespace may hold itself: how many values being printed there are around this one.
thread_local std::size_t printing = 0;

struct Printing {
  Printing() {
    if (printing >= 2 * max_nesting)
      throw Failure("a value that is nested too deep, or holds itself, cannot be printed");
    ++printing;
  }
  ~Printing() { --printing; }
  Printing(const Printing&) = delete;
  Printing& operator=(const Printing&) = delete;
};

void append_repr(std::string& out, const Value& v) {
  Budget::spend(1);
  const Printing here;
  const std::size_t before = out.size();
  switch (v.kind()) {
    case Kind::Undefined:
      out.append("Undefined");
      break;
    case Kind::None:
      out.append("None");
      break;
    case Kind::Bool:
      out.append(v.boolean() ? "True" : "False");
      break;
    case Kind::Integer:
      out.append(repr(v.integer()));
      break;
    case Kind::Float:
      out.append(repr(v.number()));
      break;
    case Kind::String:
      out.append(v.safe() ? concat("Markup(", repr(v.text().bytes()), ")") : repr(v.text().bytes()));
      break;
    case Kind::List:
      out.push_back('[');
      append_items(out, v.items());
      out.push_back(']');
      return;
    case Kind::Tuple:
      out.push_back('(');
      append_items(out, v.items());
      out.append(v.items().size() == 1 ? ",)" : ")");
      return;
    case Kind::Dict: {
      out.push_back('{');
      const char* separator = "";
      for (const auto& [key, value] : v.dict().items()) {
        out.append(separator);
        append_repr(out, key);
        out.append(": ");
        append_repr(out, value);
        separator = ", ";
      }
      out.push_back('}');
      return;
    }
    case Kind::Object:
      out.append(v.object()->repr());
      break;
  }
  Budget::spend_text(out.size() - before);
}

}  // namespace

std::string type_name(const Value& v) {
  switch (v.kind()) {
    case Kind::Undefined:
      return "Undefined";
    case Kind::None:
      return "NoneType";
    case Kind::Bool:
      return "bool";
    case Kind::Integer:
      return "int";
    case Kind::Float:
      return "float";
    case Kind::String:
      return v.safe() ? "Markup" : "str";
    case Kind::List:
      return "list";
    case Kind::Tuple:
      return "tuple";
    case Kind::Dict:
      return "dict";
    case Kind::Object:
      return v.object()->type_name();
  }
  return {};
}

std::string repr(Int i) {
  char digits[40];
  char* at = std::end(digits);
  const bool negative = i < 0;
  do {
    const int digit = static_cast<int>(i % 10);
    *--at = static_cast<char>('0' + (negative ? -digit : digit));
    i /= 10;
  } while (i != 0);
  if (negative) *--at = '-';
  return {at, std::end(digits)};
}

std::string repr(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end = std::to_chars(std::begin(buffer), std::end(buffer), x, std::chars_format::scientific).ptr;
  const std::string_view scientific(buffer, static_cast<std::size_t>(end - buffer));
  const std::size_t e = scientific.find('e');
  int exponent = 0;
  std::from_chars(buffer + e + (buffer[e + 1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(scientific);
  char fixed[40];
  const auto fixed_end = std::to_chars(std::begin(fixed), std::end(fixed), x, std::chars_format::fixed).ptr;
  std::string out(fixed, fixed_end);
  if (out.find('.') == std::string::npos) out.append(".0");
  return out;
}

std::string repr(std::string_view s) {
  const bool has_single = s.find('\'') != std::string_view::npos;
  const char quote = has_single && s.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  out.reserve(s.size() + 2);
  for (std::size_t at = 0; at < s.size();) {
    const auto [code, size] = unicode::decode(s, at);
    if (code == static_cast<unsigned char>(quote) || code == '\\') {
      out.push_back('\\');
      out.push_back(s[at]);
    } else if (code == '\n') {
      out.append("\\n");
    } else if (code == '\r') {
      out.append("\\r");
    } else if (code == '\t') {
      out.append("\\t");
    } else if (code == unicode::invalid) {
      append_hex(out, 'x', static_cast<unsigned char>(s[at]), 2);
    } else if (unicode::is_printable(code)) {
      out.append(s, at, size);
    } else {
      append_escape(out, code);
    }
    at += size;
  }
  out.push_back(quote);
  return out;
}

std::string repr(const Value& v) {
  std::string out;
  append_repr(out, v);
  return out;
}

std::string ascii(const Value& v) {
  const std::string s = repr(v);
  std::string out;
  for (std::size_t at = 0; at < s.size();) {
    const auto [code, size] = unicode::decode(s, at);
    if (code < 0x80) {
      out.push_back(s[at]);
    } else {
      append_escape(out, code);
    }
    at += size;
  }
  Budget::spend_text(out.size());
  return out;
}

Text str(const Value& v) {
  if (v.is_string()) return v.text();
  if (v.is_undefined()) return {};
  return Text::from_input(repr(v));
}

Text escape_html(const Text& text) {
  Text out;
  std::size_t done = 0;
  const std::string& s = text.bytes();
  for (std::size_t at = s.find_first_of("&<>'\""); at != std::string::npos; at = s.find_first_of("&<>'\"", at + 1)) {
    out.append(text, done, at - done);
    const char* entity = s[at] == '&'    ? "&amp;"
                         : s[at] == '<'  ? "&lt;"
                         : s[at] == '>'  ? "&gt;"
                         : s[at] == '\'' ? "&#39;"
                                         : "&#34;";
    out.append(entity, false);
    done = at + 1;
  }
  out.append(text, done, s.size() - done);
  Budget::spend_text(out.size());
  return out;
}

Text escape_html(const Value& v) { return v.safe() ? v.text() : escape_html(str(v)); }

std::optional<Values> try_iterate(const Value& v) {
  switch (v.kind()) {
    case Kind::Undefined:
      return Values{};
    case Kind::List:
    case Kind::Tuple:
      Budget::spend(v.items().size());
      return v.items();
    case Kind::Dict: {
      Values keys;
      for (const auto& item : v.dict().items()) keys.push_back(item.first);
      Budget::spend(keys.size());
      return keys;
    }
    case Kind::String: {
      const Text& text = v.text();
      Budget::spend(text.size() * steps_per_string);
      Values characters;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t size = unicode::decode(text.bytes(), at).size;
        characters.emplace_back(text.substr(at, size));
        at += size;
      }
      return characters;
    }
    case Kind::Object: {
      auto items = v.object()->iterate();
      if (items) Budget::spend(items->size());
      return items;
    }
    default:
      return std::nullopt;
  }
}

Values iterate(const Value& v) {
  auto items = try_iterate(v);
  if (!items) throw Failure(concat("a value of type ", type_name(v), " cannot be iterated over"), "give it a list");
  return *std::move(items);
}

bool is_iterable(const Value& v) {
  switch (v.kind()) {
    case Kind::Undefined:
    case Kind::String:
    case Kind::List:
    case Kind::Tuple:
    case Kind::Dict:
      return true;
    case Kind::Object:
      return v.object()->iterable();
    default:
      return false;
  }
}

std::optional<std::size_t> try_length(const Value& v) {
  switch (v.kind()) {
    case Kind::Undefined:
      return 0;
    case Kind::String:
      Budget::spend_reading(v.text().size());
      return unicode::length(v.text().bytes());
    case Kind::List:
    case Kind::Tuple:
      return v.items().size();
    case Kind::Dict:
      return v.dict().size();
    case Kind::Object:
      return v.object()->length();
    default:
      return std::nullopt;
  }
}

std::size_t length(const Value& v) {
  const auto n = try_length(v);
  if (!n) throw Failure(concat("a value of type ", type_name(v), " has no length"), "turn it into a list first");
  return *n;
}

Int as_integer(const Value& v, std::string_view what) {
  if (v.is_undefined()) throw Failure(v.undefined_reason());
  if (!v.is_integer()) throw Failure(concat(what, " is of type ", type_name(v), ", where an integer was expected"));
  return v.integer();
}

}  // namespace jinja
