#include <algorithm>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/filters.h"
#include "jinja/interpreter.h"
#include "jinja/operators.h"
#include "jinja/python.h"

namespace jinja {

Interpreter::Depth::Depth(Interpreter& interpreter) : depth_(interpreter.depth_) {
  if (depth_ >= interpreter.options_.max_depth) {
    throw Failure("expressions, blocks and calls are nested too deep",
                  "look for a macro that calls itself without end");
  }
  ++depth_;
}

Value Interpreter::evaluate(const Expression& e) {
  Budget::spend(1);
  const Depth depth(*this);
  return std::visit([&](const auto& node) { return evaluate(node, e.position); }, e.node);
}

Values Interpreter::evaluate_all(const Expressions& expressions) {
  Values out;
  out.reserve(expressions.size());
  for (const auto& e : expressions) out.push_back(evaluate(*e));
  return out;
}

Value Interpreter::evaluate(const Literal& n, Position) { return n.value; }

Value Interpreter::evaluate(const Name& n, Position) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    if (const Value* found = scope->find(n.name)) return *found;
  }
  if (const Value* found = context_->find(n.name)) return *found;
  if (const Value* found = global(n.name)) return *found;
  return Value::undefined(concat(n.name, " is undefined"));
}

Value Interpreter::evaluate(const ListLiteral& n, Position) { return Value::list(evaluate_all(n.items)); }
Value Interpreter::evaluate(const TupleLiteral& n, Position) { return Value::tuple(evaluate_all(n.items)); }

Value Interpreter::evaluate(const DictLiteral& n, Position at) {
  Dict out;
  for (const auto& [key_node, value_node] : n.items) {
    Value key = evaluate(*key_node);
    Value value = evaluate(*value_node);
    here_ = at;
    out.set(std::move(key), std::move(value));
  }
  return Value::dict(std::move(out));
}

Value Interpreter::evaluate(const Negate& n, Position at) {
  const Value v = evaluate(*n.operand);
  here_ = at;
  return negate(v);
}

Value Interpreter::evaluate(const Plus& n, Position at) {
  const Value v = evaluate(*n.operand);
  here_ = at;
  return plus(v);
}

Value Interpreter::evaluate(const Not& n, Position) { return Value(!truth(evaluate(*n.operand))); }

Value Interpreter::evaluate(const And& n, Position) {
  Value left = evaluate(*n.left);
  return truth(left) ? evaluate(*n.right) : left;
}

Value Interpreter::evaluate(const Or& n, Position) {
  Value left = evaluate(*n.left);
  return truth(left) ? left : evaluate(*n.right);
}

Value Interpreter::evaluate(const Binary& n, Position at) {
  const Value left = evaluate(*n.left);
  const Value right = evaluate(*n.right);
  here_ = at;
  return apply(n.op, left, right);
}

Value Interpreter::evaluate(const Comparison& n, Position at) {
  Value left = evaluate(*n.first);
  for (const auto& [op, node] : n.rest) {
    Value right = evaluate(*node);
    here_ = at;
    bool holds = false;
    switch (op) {
      case CompareOperator::Equal:
        holds = equal(left, right);
        break;
      case CompareOperator::NotEqual:
        holds = !equal(left, right);
        break;
      case CompareOperator::Less:
        holds = less(left, right);
        break;
      case CompareOperator::LessEqual:
        holds = less_or_equal(left, right);
        break;
      case CompareOperator::Greater:
        holds = less(right, left);
        break;
      case CompareOperator::GreaterEqual:
        holds = less_or_equal(right, left);
        break;
      case CompareOperator::In:
        holds = contains(right, left);
        break;
      case CompareOperator::NotIn:
        holds = !contains(right, left);
        break;
    }
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::evaluate(const Concat& n, Position at) {
  const Values parts = evaluate_all(n.parts);
  here_ = at;
  // Where jinja2 does not know whether to escape, it joins the parts as they are, and escapes the whole when it is
  // printed.
  const bool safe =
      escaping_ == Escaping::On && std::any_of(parts.begin(), parts.end(), [](const Value& v) { return v.safe(); });
  Text out;
  for (const Value& part : parts) {
    out.append(safe ? escape_html(part) : str(part));
    Budget::spend_text(out.size());
  }
  return Value(std::move(out), safe);
}

Value Interpreter::evaluate(const Conditional& n, Position) {
  if (truth(evaluate(*n.condition))) return evaluate(*n.then);
  if (n.otherwise != nullptr) return evaluate(*n.otherwise);
  return Value::undefined("the condition is false and there is no else");
}

Value Interpreter::evaluate(const Attribute& n, Position at) {
  const Value object = evaluate(*n.object);
  here_ = at;
  return attribute_of(object, n.name);
}

Value Interpreter::evaluate(const Item& n, Position at) {
  const Value object = evaluate(*n.object);
  const Value index = evaluate(*n.index);
  here_ = at;
  return item_of(object, index);
}

Value Interpreter::evaluate(const SliceItem& n, Position at) {
  const Value object = evaluate(*n.object);
  const auto bound = [&](const ExpressionPtr& e) { return e == nullptr ? Value::none() : evaluate(*e); };
  const Value start = bound(n.start), stop = bound(n.stop), step = bound(n.step);
  here_ = at;
  return slice_of(object, start, stop, step);
}

Args Interpreter::evaluate(const CallArguments& arguments) {
  Args out;
  out.positional = evaluate_all(arguments.positional);
  for (const auto& [name, e] : arguments.named) out.named.emplace_back(name, evaluate(*e));
  if (arguments.spread_positional != nullptr) {
    for (Value& v : iterate(evaluate(*arguments.spread_positional))) out.positional.push_back(std::move(v));
  }
  if (arguments.spread_named != nullptr) {
    const Value spread = evaluate(*arguments.spread_named);
    if (!spread.is(Value::Kind::Dict))
      throw Failure(concat("** wants a dict, not a value of type ", type_name(spread)));
    for (const auto& [key, value] : spread.dict().items()) {
      if (!key.is_string()) throw Failure("** wants a dict whose keys are strings");
      out.named.emplace_back(key.text().bytes(), value);
    }
  }
  return out;
}

Value Interpreter::evaluate(const Call& n, Position at) {
  const Value callee = evaluate(*n.callee);
  const Args args = evaluate(n.arguments);
  here_ = at;
  return call(callee, args);
}

Value Interpreter::call(const Value& callee, const Args& args) {
  if (callee.is_undefined()) throw Failure(callee.undefined_reason());
  if (!callee.is(Value::Kind::Object)) {
    throw Failure(concat("a value of type ", type_name(callee), " cannot be called"),
                  "expected a function, a macro or a method");
  }
  return callee.object()->call(*this, args);
}

Value Interpreter::evaluate(const Filter& n, Position at) {
  const Value input = evaluate(*n.input);
  const Args args = evaluate(n.arguments);
  here_ = at;
  return filter(n.name, input, args);
}

Value Interpreter::filtered(const Expression& e, const Value& input) {
  const auto& n = std::get<Filter>(e.node);
  const Value inner = n.input == nullptr ? input : filtered(*n.input, input);
  const Args args = evaluate(n.arguments);
  here_ = e.position;
  return filter(n.name, inner, args);
}

Value Interpreter::filter(std::string_view name, const Value& input, const Args& args) {
  const FilterFunction function = find_filter(name);
  if (function == nullptr) throw Failure(concat("there is no filter named ", name), expected_filter);
  return function(*this, input, args);
}

Value Interpreter::evaluate(const Test& n, Position at) {
  const Value input = evaluate(*n.input);
  const Args args = evaluate(n.arguments);
  here_ = at;
  return Value(test(n.name, input, args));
}

bool Interpreter::test(std::string_view name, const Value& input, const Args& args) {
  const TestFunction function = find_test(name);
  if (function == nullptr) throw Failure(concat("there is no test named ", name), expected_test);
  return function(*this, input, args);
}

}  // namespace jinja
