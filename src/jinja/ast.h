// A parsed template: statements that print, and the expressions in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/operators.h"
#include "jinja/text.h"
#include "jinja/value.h"

namespace jinja {

struct Position {
  std::uint32_t line = 1, column = 1;  // of the character, from 1; a column counts bytes
};

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;
using Expressions = std::vector<ExpressionPtr>;

struct CallArguments {
  Expressions positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr spread_positional;  // *arguments, or null
  ExpressionPtr spread_named;       // **arguments, or null
};

enum class CompareOperator { Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, In, NotIn };

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
struct ListLiteral {
  Expressions items;
};
struct TupleLiteral {
  Expressions items;
};
struct DictLiteral {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};
struct Negate {
  ExpressionPtr operand;
};
struct Plus {
  ExpressionPtr operand;
};
struct Not {
  ExpressionPtr operand;
};
struct And {
  ExpressionPtr left, right;
};
struct Or {
  ExpressionPtr left, right;
};
struct Binary {
  BinaryOperator op;
  ExpressionPtr left, right;
};
struct Comparison {
  ExpressionPtr first;
  std::vector<std::pair<CompareOperator, ExpressionPtr>> rest;
};
struct Concat {
  Expressions parts;
};
struct Conditional {
  ExpressionPtr condition, then, otherwise;
};  // otherwise may be null
struct Attribute {
  ExpressionPtr object;
  std::string name;
};
struct Item {
  ExpressionPtr object, index;
};
struct SliceItem {
  ExpressionPtr object, start, stop, step;
};  // the last three may be null
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};
struct Filter {
  ExpressionPtr input;
  std::string name;
  CallArguments arguments;
};  // input: null in a filter block
struct Test {
  ExpressionPtr input;
  std::string name;
  CallArguments arguments;
};

struct Expression {
  std::variant<Literal, Name, ListLiteral, TupleLiteral, DictLiteral, Negate, Plus, Not, And, Or, Binary, Comparison,
               Concat, Conditional, Attribute, Item, SliceItem, Call, Filter, Test>
      node;
  Position position;
  std::size_t depth = 1;  // of the tree below, which the parser bounds
};

struct Statement;
using Block = std::vector<Statement>;

// What an assignment or a loop stores into: a name, an attribute of a namespace, or several of them.
struct Target {
  std::string name;
  std::string attribute;      // empty: the name itself
  std::vector<Target> parts;  // a tuple is taken apart into these
  bool is_tuple = false;
};

struct Parameter {
  std::string name;
  ExpressionPtr fallback;
};  // fallback may be null

struct Data {
  Text text;
};
struct Print {
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Block>> branches;
  std::optional<Block> otherwise;
};
struct For {
  Target target;
  ExpressionPtr iterable;
  ExpressionPtr condition;  // null: all elements
  bool recursive;
  Block body, otherwise;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  ExpressionPtr filter;
  Block body;
};  // filter may be null
struct MacroDefinition {
  std::string name;
  std::vector<Parameter> parameters;
  Block body;
  // Whether the body reads these; a macro takes such arguments only then.
  bool reads_varargs = false, reads_kwargs = false, reads_caller = false;
};
struct CallBlock {
  MacroDefinition caller;
  ExpressionPtr call;
};
struct FilterBlock {
  ExpressionPtr filter;
  Block body;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> values;
  Block body;
};
struct Autoescape {
  ExpressionPtr enabled;
  bool is_constant;  // known before the template runs
  Block body;
};
struct Scoped {
  Block body;
};  // {% generation %}
struct NamedBlock {
  Block body;
  bool scoped;
};
struct Include {
  ExpressionPtr name;
  bool ignore_missing;
  bool with_context;
};
struct Break {};
struct Continue {};
struct Unset {
  std::vector<std::string> names;
};  // which have no value until the block stores one (names.h)

struct Statement {
  std::variant<Data, Print, If, For, Set, SetBlock, std::shared_ptr<MacroDefinition>, CallBlock, FilterBlock, With,
               Autoescape, Scoped, NamedBlock, Include, Break, Continue, Unset>
      node;
  Position position;
};

struct Program {
  std::string name;
  Block body;
  std::unordered_set<std::string> mentioned;  // names that expressions read
};

}  // namespace jinja
