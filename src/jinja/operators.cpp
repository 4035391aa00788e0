#include "jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/format.h"
#include "jinja/object.h"
#include "jinja/python.h"
#include "jinja/strings.h"
#include "jinja/unicode.h"

namespace jinja {
namespace {

using Kind = Value::Kind;

[[noreturn]] void refuse(std::string_view op, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b}) {
    if (v->is_undefined()) throw Failure(v->undefined_reason());
  }
  throw Failure(concat("values of the types ", type_name(a), " and ", type_name(b), " cannot be combined by ", op),
                "convert one of them first");
}

[[noreturn]] void overflow() {
  throw Failure("an integer does not fit into 128 bits", "use smaller numbers or floats");
}

[[noreturn]] void division_by_zero() { throw Failure("division by zero", "check the divisor first"); }

Int floor_divide(Int a, Int b) {
  if (b == 0) division_by_zero();
  if (b == -1) return multiply_checked(a, -1);
  const Int quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Int modulo(Int a, Int b) {
  if (b == 0) division_by_zero();
  if (b == -1) return 0;
  const Int rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

// The remainder has the sign of the divisor.
double modulo(double a, double b) {
  if (b == 0) division_by_zero();
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_divide(double a, double b) {
  if (b == 0) division_by_zero();
  const double rest = std::fmod(a, b);
  // Like Python, which takes the one from the quotient: where b is infinite, b added to the rest would be lost in it.
  const double quotient = (a - rest) / b - (rest != 0 && (rest < 0) != (b < 0) ? 1 : 0);
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

Int power(Int base, Int exponent) {
  Int result = 1;
  while (exponent > 0) {
    if (exponent & 1) result = multiply_checked(result, base);
    exponent >>= 1;
    if (exponent > 0) base = multiply_checked(base, base);
  }
  return result;
}

Value power(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer() && b.integer() >= 0) {
    // These never overflow, however large the exponent.
    if (const Int base = a.integer(); base >= -1 && base <= 1) {
      return Value(b.integer() == 0 ? Int{1} : base == -1 ? (b.integer() % 2 == 0 ? Int{1} : Int{-1}) : base);
    }
    return Value(power(a.integer(), b.integer()));
  }
  const double x = a.number(), y = b.number();
  if (x == 0 && y < 0 && std::isfinite(y)) division_by_zero();
  const double result = std::pow(x, y);
  if (std::isnan(result) && !std::isnan(x) && !std::isnan(y))
    throw Failure("a power of a negative number is complex", "raise it to a whole number");
  if (std::isinf(result) && std::isfinite(x) && std::isfinite(y))
    throw Failure("a power is too large for a float", "use smaller numbers");
  return Value(result);
}

Value arithmetic(BinaryOperator op, const Value& a, const Value& b) {
  const bool integers = a.is_integer() && b.is_integer();
  switch (op) {
    case BinaryOperator::Add:
      return integers ? Value(add_checked(a.integer(), b.integer())) : Value(a.number() + b.number());
    case BinaryOperator::Subtract: {
      if (!integers) return Value(a.number() - b.number());
      Int difference;
      if (__builtin_sub_overflow(a.integer(), b.integer(), &difference)) overflow();
      return Value(difference);
    }
    case BinaryOperator::Multiply:
      return integers ? Value(multiply_checked(a.integer(), b.integer())) : Value(a.number() * b.number());
    case BinaryOperator::Divide: {
      if (b.number() == 0) division_by_zero();
      if (!integers) return Value(a.number() / b.number());
      // One rounding, where the operands fit into 64 bits.
      return Value(static_cast<double>(static_cast<long double>(a.integer()) / static_cast<long double>(b.integer())));
    }
    case BinaryOperator::FloorDivide:
      return integers ? Value(floor_divide(a.integer(), b.integer())) : Value(floor_divide(a.number(), b.number()));
    case BinaryOperator::Modulo:
      return integers ? Value(modulo(a.integer(), b.integer())) : Value(modulo(a.number(), b.number()));
    case BinaryOperator::Power:
      return power(a, b);
  }
  return {};
}

Value repeat(const Value& v, Int times) {
  const auto n = static_cast<std::size_t>(std::clamp<Int>(times, 0, 1'000'000'000));
  if (v.is_string()) {
    Budget::spend_text(v.text().size() * n);
    Text out;
    if (!v.text().empty()) {
      for (std::size_t i = 0; i < n; ++i) out.append(v.text());
    }
    return Value(std::move(out), v.safe());
  }
  Budget::spend(2 * v.items().size() * n);
  Values out;
  if (!v.items().empty()) {
    for (std::size_t i = 0; i < n; ++i) out.insert(out.end(), v.items().begin(), v.items().end());
  }
  return v.is(Kind::List) ? Value::list(std::move(out)) : Value::tuple(std::move(out));
}

bool is_repeatable(const Value& v) { return v.is_string() || v.is_sequence(); }

const char* symbol(BinaryOperator op) {
  constexpr const char* symbols[] = {"+", "-", "*", "/", "//", "%", "**"};
  return symbols[static_cast<std::size_t>(op)];
}

}  // namespace

Int add_checked(Int a, Int b) {
  Int sum;
  if (__builtin_add_overflow(a, b, &sum)) overflow();
  return sum;
}

Int multiply_checked(Int a, Int b) {
  Int product;
  if (__builtin_mul_overflow(a, b, &product)) overflow();
  return product;
}

Value concatenate(const Value& a, const Value& b) {
  const bool safe = a.safe() || b.safe();
  Text out = safe ? escape_html(a) : a.text();
  Budget::spend_text(out.size() + b.text().size());
  out.append(safe ? escape_html(b) : b.text());
  return Value(std::move(out), safe);
}

Value apply(BinaryOperator op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return arithmetic(op, a, b);
  if (op == BinaryOperator::Add) {
    if (a.is_string() && b.is_string()) return concatenate(a, b);
    if (a.is_sequence() && a.kind() == b.kind()) {
      Values items = a.items();
      items.insert(items.end(), b.items().begin(), b.items().end());
      Budget::spend(2 * items.size());
      return a.is(Kind::List) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
    }
  }
  if (op == BinaryOperator::Multiply) {
    if (is_repeatable(a) && b.is_integer()) return repeat(a, b.integer());
    if (is_repeatable(b) && a.is_integer()) return repeat(b, a.integer());
  }
  if (op == BinaryOperator::Modulo && a.is_string()) return format_percent(a, b);
  refuse(symbol(op), a, b);
}

Value negate(const Value& v) {
  if (v.is_integer()) return Value(multiply_checked(v.integer(), -1));
  if (v.is(Kind::Float)) return Value(-v.number());
  if (v.is_undefined()) throw Failure(v.undefined_reason());
  throw Failure(concat("a value of type ", type_name(v), " cannot be negated"), "expected a number");
}

Value plus(const Value& v) {
  if (v.is_integer()) return Value(v.integer());
  if (v.is(Kind::Float)) return v;
  if (v.is_undefined()) throw Failure(v.undefined_reason());
  throw Failure(concat("a value of type ", type_name(v), " cannot have a sign"), "expected a number");
}

bool contains(const Value& container, const Value& item) {
  if (container.is_string()) {
    if (!item.is_string()) {
      throw Failure(concat("a value of type ", type_name(item), " cannot be looked for in a string"),
                    "expected a string");
    }
    Budget::spend_text(container.text().size());
    return strings::position_of(item.text().bytes(), container.text().bytes()) != std::string::npos;
  }
  if (container.is(Kind::Dict)) return container.dict().find(item) != nullptr;
  const auto found = [&](const Values& items) {
    return std::any_of(items.begin(), items.end(), [&](const Value& v) { return same(v, item) || equal(v, item); });
  };
  if (container.is_sequence()) return found(container.items());
  if (type_name(container) == "dict_keys")
    static_cast<void>(hash(item));  // fails, as in the dict, if that cannot be a key
  return found(iterate(container));
}

Slice resolve_slice(std::size_t length, const Value& start, const Value& stop, const Value& step) {
  const Int n = static_cast<Int>(length);
  const Int by = step.is_none() ? 1 : as_integer(step, "the step of a slice");
  if (by == 0) throw Failure("the step of a slice is zero", "expected a positive or a negative one");
  const Int lowest = by < 0 ? -1 : 0, highest = by < 0 ? n - 1 : n;
  const auto bound = [&](const Value& v, Int fallback) {
    if (v.is_none()) return fallback;
    const Int i = as_integer(v, "the bound of a slice");
    return std::clamp<Int>(i < 0 ? i + n : i, lowest, highest);
  };
  return {bound(start, by < 0 ? highest : lowest), bound(stop, by < 0 ? lowest : highest), by};
}

Value slice_of(const Value& object, const Value& start, const Value& stop, const Value& step) {
  const auto pick = [&](std::size_t length, const auto& take) {
    Slice s = resolve_slice(length, start, stop, step);
    const Int far = static_cast<Int>(length) + 1;
    s.step = std::clamp(s.step, -far, far);  // so that stepping past the end cannot overflow
    for (Int i = s.start; s.step > 0 ? i < s.stop : i > s.stop; i += s.step) take(static_cast<std::size_t>(i));
  };
  if (object.is_string()) {
    const Text& text = object.text();
    Budget::spend_text(text.size() * 8);
    const auto at = unicode::offsets(text.bytes());
    Text out;
    pick(at.size() - 1, [&](std::size_t i) { out.append(text, at[i], at[i + 1] - at[i]); });
    return Value(std::move(out), object.safe());
  }
  if (object.is(Kind::Object)) {
    if (const auto* range = dynamic_cast<const Range*>(object.object().get())) return range->slice(start, stop, step);
  }
  const Values* items = object.is_sequence()      ? &object.items()
                        : object.is(Kind::Object) ? object.object()->sequence()
                                                  : nullptr;
  if (items == nullptr) {
    if (object.is_undefined()) throw Failure(object.undefined_reason());
    throw Failure(concat("a value of type ", type_name(object), " cannot be sliced"), "expected a list or a string");
  }
  Values out;
  pick(items->size(), [&](std::size_t i) { out.push_back((*items)[i]); });
  Budget::spend(out.size());
  return object.is(Kind::List) ? Value::list(std::move(out)) : Value::tuple(std::move(out));
}

}  // namespace jinja
