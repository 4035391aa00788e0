#include "jinja/filters.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/format.h"
#include "jinja/interpreter.h"
#include "jinja/methods.h"
#include "jinja/operators.h"
#include "jinja/parse_number.h"
#include "jinja/python.h"
#include "jinja/strings.h"

namespace jinja {
namespace {

Value absolute(Interpreter&, const Value& input, const Args& args) {
  Bound bound("abs", args, {});
  if (!input.is_number())
    throw Failure(concat("abs was given a value of type ", type_name(input)), "expected a number");
  if (!input.is_integer()) return Value(std::fabs(input.number()));
  return input.integer() < 0 ? negate(input) : plus(input);
}

Value attribute(Interpreter&, const Value& input, const Args& args) {
  Bound bound("attr", args, {"name"}, 1);
  const Text name = bound.text(0, "");
  if (input.is_undefined()) throw Failure(input.undefined_reason());
  if (auto found = python_attribute(input, name.bytes())) return *std::move(found);
  return Value::undefined(concat("a value of type ", type_name(input), " has no attribute ", repr(name.bytes())));
}

Value fallback(Interpreter&, const Value& input, const Args& args) {
  Bound bound("default", args, {"default_value", "boolean"});
  const bool wanted = input.is_undefined() || (bound.truth(1, false) && !truth(input));
  return wanted ? bound.get(0, Value::own("")) : input;
}

Value to_integer(Interpreter&, const Value& input, const Args& args) {
  Bound bound("int", args, {"default", "base"});
  if (input.is_undefined()) throw Failure(input.undefined_reason());
  std::optional<double> x;
  if (input.is_string()) {
    // As Python's int() refuses a base that is none, the text is read as a float.
    const bool based = !bound.has(1) || bound[1].is_integer();
    const auto i = based ? parse_integer(input.text().bytes(), bound.integer(1, 10)) : std::nullopt;
    if (i) return Value(*i);
    x = parse_float(input.text().bytes());
  } else if (input.is_integer()) {
    return Value(input.integer());
  } else if (input.is(Value::Kind::Float)) {
    x = input.number();
  }
  if (!x || std::isnan(*x)) return bound.get(0, Value(0));
  return Value(truncate(*x));
}

Value to_float(Interpreter&, const Value& input, const Args& args) {
  Bound bound("float", args, {"default"});
  if (input.is_undefined()) throw Failure(input.undefined_reason());
  if (input.is_number()) return Value(input.number());
  if (input.is_string()) {
    if (const auto x = parse_float(input.text().bytes())) return Value(*x);
  }
  return bound.get(0, Value(0.0));
}

// The multiple of ten to the `digits` that is nearest to i; of two, the even one.
Int round_integer(Int i, Int digits) {
  if (digits > 38) return 0;
  Int unit = 1;
  for (Int k = 0; k < digits; ++k) unit = multiply_checked(unit, 10);
  const Int rest = ((i % unit) + unit) % unit;
  const Int below = i - rest;
  const bool up = rest > unit - rest || (rest == unit - rest && (below / unit) % 2 != 0);
  return up ? add_checked(below, unit) : below;
}

Value round(Interpreter&, const Value& input, const Args& args) {
  Bound bound("round", args, {"precision", "method"});
  const std::string method = bound.text(1, "common").bytes();
  if (method != "common" && method != "ceil" && method != "floor") {
    throw Failure("round knows no such method", "expected common, ceil or floor");
  }
  if (!input.is_number())
    throw Failure(concat("round was given a value of type ", type_name(input)), "expected a number");
  if (method == "common") {
    const Int precision = std::clamp<Int>(bound.integer(0, 0), -400, 400);
    if (!input.is_integer()) return Value(round_to(input.number(), static_cast<int>(precision)));
    return precision >= 0 ? plus(input) : Value(round_integer(input.integer(), -precision));
  }
  const Value scale = apply(BinaryOperator::Power, Value(10), bound.get(0, Value(0)));
  const Value scaled = apply(BinaryOperator::Multiply, input, scale);
  if (scaled.is_integer()) return apply(BinaryOperator::Divide, scaled, scale);
  const double x = method == "ceil" ? std::ceil(scaled.number()) : std::floor(scaled.number());
  return apply(BinaryOperator::Divide, Value(truncate(x)), scale);
}

Value file_size(Interpreter&, const Value& input, const Args& args) {
  Bound bound("filesizeformat", args, {"binary"});
  const auto parsed = input.is_string() ? parse_float(input.text().bytes()) : std::nullopt;
  if (!parsed && !input.is_number()) throw Failure("filesizeformat wants a number");
  const double bytes = parsed ? *parsed : input.number();
  const bool binary = bound.truth(0, false);
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return Value::input("1 Byte");
  if (bytes < base) return Value::input(concat(repr(truncate(bytes)), " Bytes"));
  constexpr std::string_view letters = "kMGTPEZY";
  double unit = base;
  std::size_t i = 0;
  do unit *= base;
  while (!(bytes < unit) && ++i < letters.size());  // so also of what is no number
  if (i == letters.size()) --i;
  const char letter = binary && i == 0 ? 'K' : letters[i];
  return Value::input(
      concat(format_float(base * bytes / unit, 'f', 1), " ", std::string(1, letter), binary ? "iB" : "B"));
}

Value json(Interpreter&, const Value& input, const Args& args) {
  Bound bound("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = bound.truth(0, false);
  style.sort_keys = bound.truth(3, false);
  if (bound.has_value(1)) {
    if (bound[1].is_string()) {
      style.indent = bound[1].text().bytes();
    } else if (!input.is_string()) {  // which Python writes without looking at it
      const auto width = static_cast<std::size_t>(std::max<Int>(bound.machine_integer(1, 0), 0));
      Budget::spend_text(width);
      style.indent = std::string(width, ' ');
    }
  }
  if (bound.has_value(2)) {
    const Values separators = iterate(bound[2]);
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      throw Failure("tojson's separators are not two strings", "expected some such as (',', ':')");
    }
    style.item_separator = separators[0].text().bytes();
    style.key_separator = separators[1].text().bytes();
  }
  return Value(Text::from_input(to_json(input, style)));
}

FilterFunction find_value_filter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> filters = {
      {"abs", absolute},   {"attr", attribute}, {"d", fallback},  {"default", fallback}, {"filesizeformat", file_size},
      {"float", to_float}, {"int", to_integer}, {"round", round}, {"tojson", json},
  };
  const auto found = filters.find(name);
  return found == filters.end() ? nullptr : found->second;
}

}  // namespace

FilterFunction find_filter(std::string_view name) {
  for (const auto find : {find_text_filter, find_sequence_filter, find_selection_filter, find_value_filter}) {
    if (const FilterFunction found = find(name)) return found;
  }
  return nullptr;
}

Value later(Step step, Interpreter& interpreter, const Value& input, const Args& args) {
  std::size_t depth = std::max(input.depth(), depth_of(args.positional));
  for (const auto& named : args.named) depth = std::max(depth, named.second.depth());
  auto make = [step, &interpreter, input, args] { return step(interpreter, input, args); };
  return Value(std::make_shared<Iterator>(std::move(make), depth + 1));
}

Value look_up(const Value& item, const Value& path, const Value* fallback_value) {
  if (path.is_none()) return item;
  const auto step = [&](const Value& from, const Value& part) {
    Value to = item_of(from, part);
    return to.is_undefined() && fallback_value != nullptr && !fallback_value->is_none() ? *fallback_value : to;
  };
  if (!path.is_string()) return step(item, path);
  Value at = item;
  for (const Text& part : strings::split(path.text(), Text::from_template("."), -1)) {
    const std::string& s = part.bytes();
    const bool digits = !s.empty() && std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
    const auto number = digits ? parse_integer(s, 10) : std::nullopt;
    at = step(at, number ? Value(*number) : Value(part));
  }
  return at;
}

Value sort_key(const Value& value, bool case_sensitive) {
  return value.is_string() && !case_sensitive ? Value(strings::lower(value.text())) : value;
}

}  // namespace jinja
