#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "jinja/failure.h"
#include "jinja/filters.h"
#include "jinja/parser.h"

namespace jinja {
namespace {

std::size_t depth_of(const ExpressionPtr& e) { return e == nullptr ? 0 : e->depth; }

template <class... Parts>
std::size_t deepest(const Parts&... parts) {
  return std::max({std::size_t{0}, depth_of(parts)...});
}

std::size_t deepest_of(const Expressions& all) {
  std::size_t depth = 0;
  for (const auto& e : all) depth = std::max(depth, depth_of(e));
  return depth;
}

std::size_t deepest_of(const CallArguments& a) {
  std::size_t depth = std::max(deepest_of(a.positional), deepest(a.spread_positional, a.spread_named));
  for (const auto& [name, e] : a.named) depth = std::max(depth, depth_of(e));
  return depth;
}

std::size_t below(const Literal&) { return 0; }
std::size_t below(const Name&) { return 0; }
std::size_t below(const ListLiteral& n) { return deepest_of(n.items); }
std::size_t below(const TupleLiteral& n) { return deepest_of(n.items); }
std::size_t below(const DictLiteral& n) {
  std::size_t depth = 0;
  for (const auto& [key, value] : n.items) depth = std::max(depth, deepest(key, value));
  return depth;
}
std::size_t below(const Negate& n) { return deepest(n.operand); }
std::size_t below(const Plus& n) { return deepest(n.operand); }
std::size_t below(const Not& n) { return deepest(n.operand); }
std::size_t below(const And& n) { return deepest(n.left, n.right); }
std::size_t below(const Or& n) { return deepest(n.left, n.right); }
std::size_t below(const Binary& n) { return deepest(n.left, n.right); }
std::size_t below(const Comparison& n) {
  std::size_t depth = deepest(n.first);
  for (const auto& [op, e] : n.rest) depth = std::max(depth, depth_of(e));
  return depth;
}
std::size_t below(const Concat& n) { return deepest_of(n.parts); }
std::size_t below(const Conditional& n) { return deepest(n.condition, n.then, n.otherwise); }
std::size_t below(const Attribute& n) { return deepest(n.object); }
std::size_t below(const Item& n) { return deepest(n.object, n.index); }
std::size_t below(const SliceItem& n) { return deepest(n.object, n.start, n.stop, n.step); }
std::size_t below(const Call& n) { return std::max(deepest(n.callee), deepest_of(n.arguments)); }
std::size_t below(const Filter& n) { return std::max(deepest(n.input), deepest_of(n.arguments)); }
std::size_t below(const Test& n) { return std::max(deepest(n.input), deepest_of(n.arguments)); }

}  // namespace

template <class Node>
ExpressionPtr Parser::make(Position at, Node node) {
  const std::size_t depth = below(node) + 1;
  bound_depth(at, depth);
  return std::make_unique<Expression>(Expression{std::move(node), at, depth});
}

ExpressionPtr Parser::expression() {
  Nesting nesting(*this);
  const Position at = current().position;
  const std::size_t unknown = unknown_.size();
  ExpressionPtr value = disjunction();
  while (skip_name("if")) {
    ExpressionPtr condition = disjunction();
    ExpressionPtr otherwise = skip_name("else") ? expression() : nullptr;
    value = make(at, Conditional{std::move(condition), std::move(value), std::move(otherwise)});
    unknown_.resize(unknown);
  }
  return value;
}

bool Parser::at_tuple_end() const {
  return current().kind == TokenKind::PrintEnd || current().kind == TokenKind::TagEnd || current().is(")");
}

// One expression, or a tuple of several with commas between.
ExpressionPtr Parser::tuple(bool with_condition, bool explicit_parentheses) {
  Nesting nesting(*this);
  const Position at = current().position;
  Expressions items;
  bool is_tuple = false;
  while (!at_tuple_end()) {
    items.push_back(with_condition ? expression() : disjunction());
    if (!skip(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return std::move(items.front());
  if (!is_tuple && !explicit_parentheses) unexpected("an expression");
  return make(at, TupleLiteral{std::move(items)});
}

ExpressionPtr Parser::disjunction() {
  ExpressionPtr left = conjunction();
  while (current().is_name("or")) {
    const Position at = take().position;
    ExpressionPtr right = conjunction();
    left = make(at, Or{std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr Parser::conjunction() {
  ExpressionPtr left = negation();
  while (current().is_name("and")) {
    const Position at = take().position;
    ExpressionPtr right = negation();
    left = make(at, And{std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr Parser::negation() {
  Nesting nesting(*this);
  if (!current().is_name("not")) return comparison();
  const Position at = take().position;
  return make(at, Not{negation()});
}

ExpressionPtr Parser::comparison() {
  const auto next = [&]() -> std::optional<CompareOperator> {
    const Token& t = current();
    if (t.is("==")) return CompareOperator::Equal;
    if (t.is("!=")) return CompareOperator::NotEqual;
    if (t.is("<")) return CompareOperator::Less;
    if (t.is("<=")) return CompareOperator::LessEqual;
    if (t.is(">")) return CompareOperator::Greater;
    if (t.is(">=")) return CompareOperator::GreaterEqual;
    if (t.is_name("in")) return CompareOperator::In;
    if (t.is_name("not") && ahead().is_name("in")) return CompareOperator::NotIn;
    return std::nullopt;
  };
  ExpressionPtr first = sum();
  const Position at = current().position;
  std::vector<std::pair<CompareOperator, ExpressionPtr>> rest;
  while (const auto op = next()) {
    take();
    if (*op == CompareOperator::NotIn) take();
    rest.emplace_back(*op, sum());
  }
  return rest.empty() ? std::move(first) : make(at, Comparison{std::move(first), std::move(rest)});
}

ExpressionPtr Parser::sum() {
  ExpressionPtr left = concatenation();
  while (current().is("+") || current().is("-")) {
    const Position at = current().position;
    const auto op = take().text == "+" ? BinaryOperator::Add : BinaryOperator::Subtract;
    ExpressionPtr right = concatenation();
    left = make(at, Binary{op, std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr Parser::concatenation() {
  const Position at = current().position;
  Expressions parts;
  do parts.push_back(product());
  while (skip("~"));
  return parts.size() == 1 ? std::move(parts.front()) : make(at, Concat{std::move(parts)});
}

ExpressionPtr Parser::product() {
  ExpressionPtr left = power();
  while (current().is("*") || current().is("/") || current().is("//") || current().is("%")) {
    const Position at = current().position;
    const Token symbol = take();
    const auto op = symbol.is("*")    ? BinaryOperator::Multiply
                    : symbol.is("/")  ? BinaryOperator::Divide
                    : symbol.is("//") ? BinaryOperator::FloorDivide
                                      : BinaryOperator::Modulo;
    ExpressionPtr right = power();
    left = make(at, Binary{op, std::move(left), std::move(right)});
  }
  return left;
}

// Unlike Python's, ** groups from the left here, and a sign binds tighter.
ExpressionPtr Parser::power() {
  ExpressionPtr left = unary(true);
  while (current().is("**")) {
    const Position at = take().position;
    ExpressionPtr right = unary(true);
    left = make(at, Binary{BinaryOperator::Power, std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr Parser::unary(bool with_filters) {
  Nesting nesting(*this);
  const Position at = current().position;
  ExpressionPtr operand;
  if (skip("-")) {
    operand = make(at, Negate{unary(false)});
  } else if (skip("+")) {
    operand = make(at, Plus{unary(false)});
  } else {
    operand = primary();
  }
  operand = postfix(std::move(operand));
  return with_filters ? filters_and_tests(std::move(operand)) : std::move(operand);
}

ExpressionPtr Parser::primary() {
  const Position at = current().position;
  switch (current().kind) {
    case TokenKind::Name: {
      std::string name = take().text;
      if (name == "true" || name == "True") return make(at, Literal{Value(true)});
      if (name == "false" || name == "False") return make(at, Literal{Value(false)});
      if (name == "none" || name == "None") return make(at, Literal{Value::none()});
      program_->mentioned.insert(name);
      for (MacroDefinition* macro : macros_) {
        macro->reads_varargs = macro->reads_varargs || name == "varargs";
        macro->reads_kwargs = macro->reads_kwargs || name == "kwargs";
        macro->reads_caller = macro->reads_caller || name == "caller";
      }
      ++variables_;
      return make(at, Name{std::move(name)});
    }
    case TokenKind::String: {
      std::string text = take().text;
      while (current().kind == TokenKind::String) text += take().text;
      program_->mentioned.insert(text);
      return make(at, Literal{Value(Text::from_template(std::move(text)))});
    }
    case TokenKind::Integer:
    case TokenKind::Float:
      return number();
    default:
      break;
  }
  if (skip("(")) {
    ExpressionPtr inner = tuple(true, true);
    expect(")");
    return inner;
  }
  if (current().is("[")) return list();
  if (current().is("{")) return dict();
  unexpected("an expression");
}

ExpressionPtr Parser::number() {
  const Token token = take();
  if (token.kind == TokenKind::Float)
    return make(token.position, Literal{Value(std::strtod(token.text.c_str(), nullptr))});
  const bool prefixed = token.text.size() > 2 && token.text[0] == '0' && (token.text[1] | 32) > '9';
  const char base = prefixed ? static_cast<char>(token.text[1] | 32) : 'd';
  const Int radix = base == 'x' ? 16 : base == 'o' ? 8 : base == 'b' ? 2 : 10;
  Int value = 0;
  for (const char c : std::string_view(token.text).substr(prefixed ? 2 : 0)) {
    const Int digit = c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
    if (__builtin_mul_overflow(value, radix, &value) || __builtin_add_overflow(value, digit, &value)) {
      fail(token.position, "an integer does not fit into 128 bits", "use a smaller number or a float");
    }
  }
  return make(token.position, Literal{Value(value)});
}

ExpressionPtr Parser::list() {
  const Position at = take().position;
  Expressions items;
  while (!current().is("]")) {
    if (!items.empty()) {
      expect(",");
      if (current().is("]")) break;
    }
    items.push_back(expression());
  }
  expect("]");
  return make(at, ListLiteral{std::move(items)});
}

ExpressionPtr Parser::dict() {
  const Position at = take().position;
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
  while (!current().is("}")) {
    if (!items.empty()) {
      expect(",");
      if (current().is("}")) break;
    }
    ExpressionPtr key = expression();
    expect(":");
    items.emplace_back(std::move(key), expression());
  }
  expect("}");
  return make(at, DictLiteral{std::move(items)});
}

ExpressionPtr Parser::postfix(ExpressionPtr operand) {
  for (;;) {
    if (current().is(".") || current().is("[")) {
      operand = subscript(std::move(operand));
    } else if (current().is("(")) {
      operand = call(std::move(operand));
    } else {
      return operand;
    }
  }
}

ExpressionPtr Parser::filters_and_tests(ExpressionPtr operand) {
  for (;;) {
    if (current().is("|")) {
      operand = filter_chain(std::move(operand));
    } else if (current().is_name("is")) {
      operand = test(std::move(operand));
    } else if (current().is("(")) {
      operand = call(std::move(operand));
    } else {
      return operand;
    }
  }
}

ExpressionPtr Parser::filter_chain(ExpressionPtr input) {
  while (skip("|")) input = filter(std::move(input));
  return input;
}

ExpressionPtr Parser::filter(ExpressionPtr input) {
  const Position at = current().position;
  std::string name = expect_identifier();
  while (skip(".")) name.append(".").append(expect_identifier());
  if (!may_not_run_ && find_filter(name) == nullptr)
    unknown_.push_back({at, concat("there is no filter named ", name), expected_filter});
  CallArguments arguments;
  if (current().is("(")) arguments = call_arguments();
  return make(at, Filter{std::move(input), std::move(name), std::move(arguments)});
}

ExpressionPtr Parser::test(ExpressionPtr input) {
  const Position at = take().position;
  const bool negated = skip_name("not");
  std::string name = expect_identifier();
  while (skip(".")) name.append(".").append(expect_identifier());
  if (!may_not_run_ && find_test(name) == nullptr)
    unknown_.push_back({at, concat("there is no test named ", name), expected_test});
  CallArguments arguments;
  const Token& next = current();
  const bool starts_argument = next.kind == TokenKind::Name || next.kind == TokenKind::String ||
                               next.kind == TokenKind::Integer || next.kind == TokenKind::Float || next.is("[") ||
                               next.is("{");
  if (next.is("(")) {
    arguments = call_arguments();
  } else if (starts_argument && !next.is_name("else") && !next.is_name("or") && !next.is_name("and")) {
    if (next.is_name("is")) fail(next.position, "tests cannot follow each other", "join them by and");
    arguments.positional.push_back(postfix(primary()));
  }
  ExpressionPtr tested = make(at, Test{std::move(input), std::move(name), std::move(arguments)});
  return negated ? make(at, Not{std::move(tested)}) : std::move(tested);
}

ExpressionPtr Parser::subscript(ExpressionPtr object) {
  const Token opening = take();
  if (opening.text == "[") {
    return subscripted(std::move(object), opening.position);
  }
  if (current().kind == TokenKind::Integer) {
    ExpressionPtr index = number();
    return make(opening.position, Item{std::move(object), std::move(index)});
  }
  std::string name = expect_identifier();
  program_->mentioned.insert(name);
  return make(opening.position, Attribute{std::move(object), std::move(name)});
}

ExpressionPtr Parser::subscripted(ExpressionPtr object, Position at) {
  Expressions items;
  while (!current().is("]")) {
    if (!items.empty()) expect(",");
    ExpressionPtr start = current().is(":") ? nullptr : expression();
    if (!current().is(":")) {
      items.push_back(std::move(start));
      continue;
    }
    take();
    const auto bound = [&] {
      return current().is(":") || current().is("]") || current().is(",") ? nullptr : expression();
    };
    ExpressionPtr stop = bound();
    ExpressionPtr step = skip(":") ? bound() : nullptr;
    if (!items.empty() || !skip("]")) fail(at, "a slice stands among several indices", "use one slice alone");
    return make(at, SliceItem{std::move(object), std::move(start), std::move(stop), std::move(step)});
  }
  expect("]");
  ExpressionPtr index = items.size() == 1 ? std::move(items.front()) : make(at, TupleLiteral{std::move(items)});
  return make(at, Item{std::move(object), std::move(index)});
}

ExpressionPtr Parser::call(ExpressionPtr callee) {
  const Position at = current().position;
  CallArguments arguments = call_arguments();
  return make(at, Call{std::move(callee), std::move(arguments)});
}

CallArguments Parser::call_arguments() {
  CallArguments out;
  const auto ensure = [&](bool holds) {
    if (!holds)
      fail(current().position, "the arguments are in the wrong order", "expected positional, named, *list, **dict");
  };
  expect("(");
  for (bool first = true; !current().is(")"); first = false) {
    if (!first) {
      expect(",");
      if (current().is(")")) break;
    }
    if (skip("*")) {
      ensure(out.spread_positional == nullptr && out.spread_named == nullptr);
      out.spread_positional = expression();
    } else if (skip("**")) {
      ensure(out.spread_named == nullptr);
      out.spread_named = expression();
    } else if (current().kind == TokenKind::Name && ahead().is("=")) {
      ensure(out.spread_named == nullptr);
      std::string name = take().text;
      take();
      out.named.emplace_back(std::move(name), expression());
    } else {
      ensure(out.spread_positional == nullptr && out.spread_named == nullptr && out.named.empty());
      out.positional.push_back(expression());
    }
  }
  expect(")");
  return out;
}

}  // namespace jinja
