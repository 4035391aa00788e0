#include <map>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/filters.h"
#include "jinja/interpreter.h"
#include "jinja/operators.h"
#include "jinja/python.h"
#include "jinja/strings.h"

namespace jinja {
namespace {

using Kind = Value::Kind;

// A test without arguments.
template <bool (*holds)(const Value&)>
bool simple(Interpreter&, const Value& input, const Args& args) {
  Bound bound("the test", args, {});
  return holds(input);
}

// A test against one other value.
template <bool (*holds)(const Value&, const Value&)>
bool against(Interpreter&, const Value& input, const Args& args) {
  Bound bound("the test", args, {"other"}, 1);
  return holds(input, bound[0]);
}

bool remainder_is(const Value& v, const Value& divisor, int rest) {
  return equal(apply(BinaryOperator::Modulo, v, divisor), Value(rest));
}

bool odd(const Value& v) { return remainder_is(v, Value(2), 1); }
bool even(const Value& v) { return remainder_is(v, Value(2), 0); }
bool divisible(const Value& v, const Value& by) { return remainder_is(v, by, 0); }
bool defined(const Value& v) { return !v.is_undefined(); }
bool undefined(const Value& v) { return v.is_undefined(); }
bool none(const Value& v) { return v.is_none(); }
bool boolean(const Value& v) { return v.is(Kind::Bool); }
bool is_true(const Value& v) { return v.is(Kind::Bool) && v.boolean(); }
bool is_false(const Value& v) { return v.is(Kind::Bool) && !v.boolean(); }
bool integer(const Value& v) { return v.is(Kind::Integer); }
bool floating(const Value& v) { return v.is(Kind::Float); }
bool number(const Value& v) { return v.is_number(); }
bool string(const Value& v) { return v.is_string(); }
bool mapping(const Value& v) { return v.is(Kind::Dict); }
bool lower(const Value& v) { return strings::is_lower(str(v).bytes()); }
bool upper(const Value& v) { return strings::is_upper(str(v).bytes()); }
bool escaped(const Value& v) { return v.safe(); }
bool iterable(const Value& v) { return is_iterable(v); }
bool callable(const Value& v) { return v.is_undefined() || (v.is(Kind::Object) && v.object()->callable()); }

bool sequence(const Value& v) {
  if (v.is(Kind::Object)) return v.object()->sequence() != nullptr;
  return v.is_sequence() || v.is_string() || v.is(Kind::Dict) || v.is_undefined();
}

// Both look the name up as a dict's key.
bool is_filter(const Value& v) { return hash(v), v.is_string() && find_filter(v.text().bytes()) != nullptr; }
bool is_test(const Value& v) { return hash(v), v.is_string() && find_test(v.text().bytes()) != nullptr; }

bool not_equal(const Value& a, const Value& b) { return !equal(a, b); }
bool greater(const Value& a, const Value& b) { return less(b, a); }
bool greater_or_equal(const Value& a, const Value& b) { return less_or_equal(b, a); }
bool in(const Value& item, const Value& container) { return contains(container, item); }

}  // namespace

TestFunction find_test(std::string_view name) {
  static const std::map<std::string_view, TestFunction> tests = {
      {"!=", against<not_equal>},
      {"<", against<less>},
      {"<=", against<less_or_equal>},
      {"==", against<equal>},
      {">", against<greater>},
      {">=", against<greater_or_equal>},
      {"boolean", simple<boolean>},
      {"callable", simple<callable>},
      {"defined", simple<defined>},
      {"divisibleby", against<divisible>},
      {"eq", against<equal>},
      {"equalto", against<equal>},
      {"escaped", simple<escaped>},
      {"even", simple<even>},
      {"false", simple<is_false>},
      {"filter", simple<is_filter>},
      {"float", simple<floating>},
      {"ge", against<greater_or_equal>},
      {"greaterthan", against<greater>},
      {"gt", against<greater>},
      {"in", against<in>},
      {"integer", simple<integer>},
      {"iterable", simple<iterable>},
      {"le", against<less_or_equal>},
      {"lessthan", against<less>},
      {"lower", simple<lower>},
      {"lt", against<less>},
      {"mapping", simple<mapping>},
      {"ne", against<not_equal>},
      {"none", simple<none>},
      {"number", simple<number>},
      {"odd", simple<odd>},
      {"sameas", against<same>},
      {"sequence", simple<sequence>},
      {"string", simple<string>},
      {"test", simple<is_test>},
      {"true", simple<is_true>},
      {"undefined", simple<undefined>},
      {"upper", simple<upper>},
  };
  const auto found = tests.find(name);
  return found == tests.end() ? nullptr : found->second;
}

}  // namespace jinja
