#include "jinja/format.h"

#include <algorithm>
#include <cmath>

#include "jinja/failure.h"
#include "jinja/format_number.h"
#include "jinja/operators.h"
#include "jinja/parse_number.h"
#include "jinja/python.h"
#include "jinja/unicode.h"

namespace jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A decimal number at s[at], which moves past it; `fallback` if there is none.
int read_number(std::string_view s, std::size_t& at, int fallback) {
  if (at >= s.size() || !is_digit(s[at])) return fallback;
  std::size_t n = 0;
  for (; at < s.size() && is_digit(s[at]); ++at) {
    n = n * 10 + static_cast<std::size_t>(s[at] - '0');
    if (n > max_width) throw Failure("a width or precision in a format is too large");
  }
  return static_cast<int>(n);
}

Text first_characters(const Text& text, std::size_t count) {
  const auto at = unicode::offsets(text.bytes());
  return count + 1 >= at.size() ? text : text.substr(0, at[count]);
}

Text padded(const Text& text, std::size_t width, std::string_view fill, char align) {
  const std::size_t n = unicode::length(text.bytes());
  if (n >= width) return text;
  const std::size_t gap = width - n;
  const std::size_t left = align == '<' ? 0 : align == '^' ? gap / 2 : gap;
  Text out;
  for (std::size_t i = 0; i < left; ++i) out.append(fill, false);
  out.append(text);
  for (std::size_t i = left; i < gap; ++i) out.append(fill, false);
  Budget::spend_text(out.size());
  return out;
}

// The arguments of %: taken one after another, or by name out of a dict.
class PercentArguments {
 public:
  explicit PercentArguments(const Value& values) : values_(values) {}

  const Value& next() {
    const bool is_tuple = values_.is(Value::Kind::Tuple);
    if (used_ >= (is_tuple ? values_.items().size() : 1))
      throw Failure("a format has more places than arguments", "give it more");
    return is_tuple ? values_.items()[used_++] : (++used_, values_);
  }

  const Value& named(const std::string& name) {
    if (!values_.is(Value::Kind::Dict)) throw Failure("a format names its arguments, but was not given a dict");
    named_ = true;
    const Value* value = values_.dict().find(name);
    if (value == nullptr) throw Failure(concat("a format wants an argument named ", name));
    return *value;
  }

  void expect_all_used() const {
    // Python takes whatever can be indexed for a mapping, of which not all need be used.
    const bool indexed = values_.is(Value::Kind::Dict) || values_.is(Value::Kind::List) || values_.is_undefined() ||
                         (values_.is(Value::Kind::Object) && values_.object()->sequence() != nullptr);
    if (named_ || indexed) return;
    if (used_ < (values_.is(Value::Kind::Tuple) ? values_.items().size() : 1)) {
      throw Failure("a format has fewer places than arguments", "give it fewer");
    }
  }

 private:
  const Value& values_;
  std::size_t used_ = 0;
  bool named_ = false;
};

Text percent_number(const Value& v, NumberSpec spec, bool zero, char conversion) {
  if (!v.is_number()) {
    if (v.is_undefined()) throw Failure(v.undefined_reason());
    throw Failure(concat("a format wants a number, but was given a value of type ", type_name(v)));
  }
  std::string digits, prefix;
  bool negative = v.number() < 0;
  if (conversion == 'd' || conversion == 'i' || conversion == 'u') {
    if (!v.is_integer() && !std::isfinite(v.number())) throw Failure("a format wants a finite number");
    const Int i = v.is_integer() ? v.integer() : truncate(v.number());
    digits = magnitude(i, 'd');
    negative = i < 0;
  } else if (conversion == 'o' || conversion == 'x' || conversion == 'X') {
    digits = magnitude(as_integer(v, "a format's argument"), conversion);
    if (spec.alternate) prefix = prefix_of(conversion);
  } else {
    spec.type = conversion;
    digits = magnitude(v.number(), spec);
    negative = std::signbit(v.number()) && !std::isnan(v.number());
  }
  if (conversion != 'e' && conversion != 'E' && conversion != 'f' && conversion != 'F' && conversion != 'g' &&
      conversion != 'G' && spec.precision > static_cast<int>(digits.size())) {
    digits.insert(0, static_cast<std::size_t>(spec.precision) - digits.size(), '0');
  }
  const std::string sign = sign_of(negative, spec.sign) + prefix;
  if (zero && spec.align != '<' && sign.size() + digits.size() < spec.width) {
    digits.insert(0, spec.width - sign.size() - digits.size(), '0');
  }
  return padded(Text::from_input(sign + digits), spec.width, " ", spec.align == '<' ? '<' : '>');
}

// What % of markup sees of an argument, which Python wraps: it can become any number by int() or float(), and nothing
// else.
Value of_markup(const Value& v, char conversion) {
  const auto is = [conversion](std::string_view letters) { return letters.find(conversion) != std::string_view::npos; };
  if (is("oxXc"))
    throw Failure(concat("the format %", std::string_view(&conversion, 1), " does not work in markup"), "use %s");
  if (!v.is_string() || is("sra")) return v;
  if (is("diu")) {
    if (const auto i = parse_integer(v.text().bytes(), 10)) return Value(*i);
  } else if (const auto x = parse_float(v.text().bytes())) {
    return Value(*x);
  }
  throw Failure(concat("a format wants a number, not the string ", repr(v)));
}

struct FieldSpec {
  std::string fill = " ";
  bool has_sign = false;
  bool zeros = false;  // a 0 before the width: numbers are filled after their sign
  NumberSpec number;
};

FieldSpec parse_spec(std::string_view s) {
  FieldSpec spec;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '=' || c == '^'; };
  std::size_t at = 0;
  bool has_fill = false;
  const std::size_t first = s.empty() ? 0 : unicode::decode(s, 0).size;
  if (first < s.size() && is_align(s[first])) {
    spec.fill = std::string(s.substr(0, first));
    has_fill = true;
    spec.number.align = s[first];
    at = first + 1;
  } else if (!s.empty() && is_align(s[0])) {
    spec.number.align = s[at++];
  }
  const auto take = [&](std::string_view any) -> char {
    return at < s.size() && any.find(s[at]) != std::string_view::npos ? s[at++] : '\0';
  };
  if (const char sign = take("+- "); sign != 0) {
    spec.number.sign = sign;
    spec.has_sign = true;
  }
  spec.number.alternate = take("#") != 0;
  if (take("0") != 0 && !has_fill) {
    spec.fill.assign(1, '0');
    spec.zeros = true;
  }
  spec.number.width = static_cast<std::size_t>(read_number(s, at, 0));
  spec.number.grouping = take(",_");
  if (take(".") != 0) {
    spec.number.precision = read_number(s, at, -1);
    if (spec.number.precision < 0) throw Failure(concat("the format ", s, " lacks a precision after its point"));
  }
  if (at < s.size()) spec.number.type = s[at++];
  if (at != s.size()) throw Failure(concat("the format ", s, " is not one that Python knows"));
  return spec;
}

Text format_number(const Value& v, const FieldSpec& spec) {
  const NumberSpec& n = spec.number;
  const bool integer_type = n.type != 0 && std::string_view("bcdoxXn").find(n.type) != std::string_view::npos;
  const bool float_type = n.type != 0 && std::string_view("eEfFgGn%").find(n.type) != std::string_view::npos;
  if (n.type != 0 && !(v.is_integer() ? integer_type || float_type : float_type)) {
    throw Failure(concat("the format ", std::string_view(&n.type, 1), " does not fit a value of type ", type_name(v)));
  }
  const auto fits = [&](std::string_view types) { return n.type == 0 || types.find(n.type) != std::string_view::npos; };
  if (n.grouping != 0 && !fits(n.grouping == ',' ? "deEfFgG%" : "deEfFgG%boxX")) {
    throw Failure(concat("digits cannot be grouped in the format ", std::string_view(&n.type, 1)));
  }
  std::string digits, prefix;
  bool negative;
  if (v.is_integer() && (n.type == 0 || integer_type)) {
    if (n.precision >= 0) throw Failure("an integer cannot be formatted with a precision");
    if (n.type == 'c') {
      if (spec.has_sign || n.alternate) throw Failure("the format c takes neither a sign nor #");
      if (v.integer() < 0 || v.integer() > 0x10FFFF) throw Failure("a character's number is out of range");
      unicode::append(digits, static_cast<unicode::CodePoint>(v.integer()));
      return padded(Text::from_input(digits), n.width, spec.fill, n.align == 0 ? '<' : n.align);
    }
    digits = magnitude(v.integer(), n.type == 0 ? 'd' : n.type);
    if (n.alternate) prefix = prefix_of(n.type);
    negative = v.integer() < 0;
  } else {
    digits = magnitude(v.number(), n);
    negative = std::signbit(v.number()) && !std::isnan(v.number());
  }
  const std::string sign = sign_of(negative, n.sign) + prefix;
  const bool inside = n.align == '=' || (n.align == 0 && spec.zeros);
  digits = group_digits(digits, n, inside && spec.fill == "0" && n.width > sign.size() ? n.width - sign.size() : 0);
  if (inside) {
    std::string inner;
    for (std::size_t have = unicode::length(digits) + sign.size(); have < n.width; ++have) inner += spec.fill;
    return Text::from_input(sign + inner + digits);
  }
  return padded(Text::from_input(sign + digits), n.width, spec.fill, n.align == 0 ? '>' : n.align);
}

// One {} place: what stands between the braces.
class Braces {
 public:
  Braces(const Value& format, const Args& args) : format_(format), args_(args) {}

  Text run() { return expand(format_.text(), 0); }

 private:
  Text expand(const Text& text, int level) {
    if (level > 1) throw Failure("a format is nested too deep");
    const std::string& s = text.bytes();
    Text out;
    for (std::size_t at = 0; at < s.size();) {
      const std::size_t brace = std::min(s.find_first_of("{}", at), s.size());
      out.append(text, at, brace - at);
      at = brace;
      if (at == s.size()) break;
      if (at + 1 < s.size() && s[at + 1] == s[at]) {
        out.append(text, at, 1);
        at += 2;
      } else if (s[at] == '}') {
        throw Failure("a format has a } without its {");
      } else {
        std::size_t end = ++at;
        for (int depth = 1; end < s.size(); ++end) {
          depth += s[end] == '{' ? 1 : s[end] == '}' ? -1 : 0;
          if (depth == 0) break;
        }
        if (end == s.size()) throw Failure("a format has a { without its }");
        const std::size_t before = out.size();
        out.append(place(text.substr(at, end - at), level));
        Budget::spend_text(out.size() - before);
        at = end + 1;
      }
    }
    return out;
  }

  Text place(const Text& text, int level) {
    const std::string& s = text.bytes();
    std::size_t name_end = 0;
    for (bool in_brackets = false; name_end < s.size(); ++name_end) {
      in_brackets = s[name_end] == '[' || (in_brackets && s[name_end] != ']');
      if (!in_brackets && (s[name_end] == '!' || s[name_end] == ':')) break;
    }
    Value value = field(std::string_view(s).substr(0, name_end));
    std::size_t at = name_end;
    if (at < s.size() && s[at] == '!') {
      const char conversion = at + 1 < s.size() ? s[at + 1] : '\0';
      if (conversion == 'r' || conversion == 'a') {
        value = Value::input(conversion == 'r' ? repr(value) : ascii(value));
      } else if (conversion == 's') {
        value = Value(str(value));
      } else {
        throw Failure("a format's conversion is none of !s, !r and !a");
      }
      at += 2;
      if (at < s.size() && s[at] != ':') throw Failure("a format lacks a colon after its conversion");
    }
    const Text spec = at < s.size() ? expand(text.substr(at + 1), level + 1) : Text();
    if (!format_.safe()) return format_value(value, spec.bytes());
    if (!value.safe()) return escape_html(format_value(value, spec.bytes()));
    if (!spec.empty()) throw Failure("markup takes no format", "turn it into a string first");
    return value.text();
  }

  Value field(std::string_view name) {
    const std::size_t first = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, first));
    for (std::size_t at = first; at < name.size();) {
      if (name[at] == '.') {
        const std::size_t end = std::min(name.find_first_of(".[", at + 1), name.size());
        value = attribute_of(value, name.substr(at + 1, end - at - 1));
        at = end;
      } else {
        const std::size_t end = name.find(']', at);
        if (end == std::string_view::npos || name[at] != '[') throw Failure("a format has a [ without its ]");
        const std::string_view key = name.substr(at + 1, end - at - 1);
        std::size_t read = 0;
        const int number = read_number(key, read, -1);
        value = item_of(value, number >= 0 && read == key.size() ? Value(number) : Value::input(key));
        at = end + 1;
      }
    }
    return value;
  }

  Value argument(std::string_view name) {
    std::size_t read = 0;
    int index = read_number(name, read, -1);
    if (name.empty()) index = next_++;
    if (index >= 0 && read == name.size()) {
      if (static_cast<std::size_t>(index) >= args_.positional.size()) {
        throw Failure("a format has more places than arguments", "give it more");
      }
      return args_.positional[static_cast<std::size_t>(index)];
    }
    for (const auto& [key, value] : args_.named) {
      if (key == name) return value;
    }
    throw Failure(concat("a format wants an argument named ", name));
  }

  const Value& format_;
  const Args& args_;
  int next_ = 0;
};

}  // namespace

Int truncate(double x) {
  if (!std::isfinite(x)) throw Failure("a float that is not finite cannot become an integer");
  if (std::fabs(x) >= 1.7e38) throw Failure("an integer does not fit into 128 bits", "use smaller numbers");
  return static_cast<Int>(x);
}

Value format_percent(const Value& format, const Value& values) {
  const Text& text = format.text();
  const std::string& s = text.bytes();
  PercentArguments arguments(values);
  Text out;
  for (std::size_t at = 0; at < s.size();) {
    const std::size_t percent = std::min(s.find('%', at), s.size());
    const std::size_t percent_from = out.size();
    out.append(text, at, percent - at);
    if (percent == s.size()) break;
    at = percent + 1;
    const Value* named = nullptr;
    if (at < s.size() && s[at] == '(') {
      const std::size_t end = s.find(')', at);
      if (end == std::string::npos) throw Failure("a format has a %( without its )");
      named = &arguments.named(s.substr(at + 1, end - at - 1));
      at = end + 1;
    }
    NumberSpec spec;
    bool zero = false;
    for (; at < s.size() && std::string_view("#0- +").find(s[at]) != std::string_view::npos; ++at) {
      if (s[at] == '#') spec.alternate = true;
      if (s[at] == '0') zero = true;
      if (s[at] == '-') spec.align = '<';
      if (s[at] == '+' || (s[at] == ' ' && spec.sign == '-')) spec.sign = s[at];
    }
    const auto number = [&](int fallback) {
      if (at >= s.size() || s[at] != '*') return read_number(s, at, fallback);
      ++at;
      const Int n = as_integer(arguments.next(), "a format's width");
      if (n > static_cast<Int>(max_width) || n < -static_cast<Int>(max_width)) throw Failure("a width is too large");
      return static_cast<int>(n);
    };
    const int width = number(0);
    if (width < 0) spec.align = '<';
    spec.width = static_cast<std::size_t>(std::abs(width));
    if (at < s.size() && s[at] == '.') {
      ++at;
      spec.precision = std::max(0, number(0));
    }
    while (at < s.size() && (s[at] == 'h' || s[at] == 'l' || s[at] == 'L')) ++at;
    if (at == s.size()) throw Failure("a format ends after its %");
    const char conversion = s[at++];
    if (conversion == '%' && at == percent + 2) {
      out.append("%", text.all_trusted());
      continue;
    }
    if (std::string_view("diuoxXeEfFgGcrsa").find(conversion) == std::string_view::npos) {
      throw Failure(concat("a format has the unknown conversion %", s.substr(at - 1, unicode::decode(s, at - 1).size)));
    }
    const Value& given = named != nullptr ? *named : arguments.next();
    const Value v = format.safe() ? of_markup(given, conversion) : given;
    if (conversion == 's' || conversion == 'r' || conversion == 'a') {
      Text piece = conversion == 's' ? str(v) : Text::from_input(conversion == 'r' ? repr(v) : ascii(v));
      if (format.safe() && !(conversion == 's' && v.safe())) piece = escape_html(piece);
      if (spec.precision >= 0) piece = first_characters(piece, static_cast<std::size_t>(spec.precision));
      out.append(padded(piece, spec.width, " ", spec.align == '<' ? '<' : '>'));
    } else if (conversion == 'c') {
      Text piece;
      if (v.is_string() && unicode::length(v.text().bytes()) == 1) {
        piece = v.text();
      } else {
        const Int code = as_integer(v, "a format's character");
        if (code < 0 || code > 0x10FFFF) throw Failure("a character's number is out of range");
        std::string bytes;
        unicode::append(bytes, static_cast<unicode::CodePoint>(code));
        piece = Text::from_input(bytes);
      }
      out.append(padded(piece, spec.width, " ", spec.align == '<' ? '<' : '>'));
    } else {
      out.append(percent_number(v, spec, zero, conversion));
    }
    Budget::spend_text(out.size() - percent_from);
  }
  arguments.expect_all_used();
  Budget::spend_text(out.size());
  return Value(std::move(out), format.safe());
}

Value format_braces(const Value& format, const Args& args) {
  Text out = Braces(format, args).run();
  Budget::spend_text(out.size());
  return Value(std::move(out), format.safe());
}

Text format_value(const Value& v, std::string_view s) {
  if (s.empty()) return str(v);
  if (!v.is_string() && !v.is_number()) {
    throw Failure(concat("a value of type ", type_name(v), " takes no format"), "turn it into a string first");
  }
  const FieldSpec spec = parse_spec(s);
  if (v.is_number()) return format_number(v, spec);
  const NumberSpec& n = spec.number;
  if ((n.type != 0 && n.type != 's') || spec.has_sign || n.alternate || n.grouping != 0 || n.align == '=') {
    throw Failure(concat("the format ", s, " does not fit a string"));
  }
  const Text text = n.precision >= 0 ? first_characters(v.text(), static_cast<std::size_t>(n.precision)) : v.text();
  return padded(text, n.width, spec.fill, n.align == 0 ? '<' : n.align);
}

}  // namespace jinja
