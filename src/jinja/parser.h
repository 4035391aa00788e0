// Tokens to a tree. The grammar is jinja2's; cost is linear in the source, and nesting is bounded. A filter or test
// that there is not is an error, as in jinja2 except directly within {% if %} and in a conditional expression: there,
// when it runs.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "jinja/ast.h"
#include "jinja/lexer.h"

namespace jinja {

class Parser {
 public:
  Parser(std::vector<Token> tokens, std::string name);

  std::shared_ptr<const Program> run();

 private:
  // parser.cpp: statements
  Block block_until(std::initializer_list<std::string_view> ends, Position opened, std::string_view tag);
  Block body(std::initializer_list<std::string_view> ends, Position opened, std::string_view tag);
  void print(Block& block);
  void statement(Block& block);
  void parse_for(Block& block, Position at);
  void parse_if(Block& block, Position at);
  void parse_set(Block& block, Position at);
  void parse_with(Block& block, Position at);
  void parse_call(Block& block, Position at);
  void parse_macro(Block& block, Position at);
  void parse_block(Block& block, Position at);
  void parse_include(Block& block, Position at);
  void parse_filter(Block& block, Position at);
  std::vector<Parameter> parameters();
  Block macro_body(MacroDefinition& macro, std::string_view end, Position at, std::string_view tag);
  Target target(bool may_be_attribute);
  Target single_target();

  // parser_expressions.cpp: each reads one level of precedence, loosest first
  ExpressionPtr expression();
  ExpressionPtr tuple(bool with_condition, bool explicit_parentheses);
  ExpressionPtr disjunction();
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr primary();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr number();
  ExpressionPtr postfix(ExpressionPtr operand);
  ExpressionPtr filters_and_tests(ExpressionPtr operand);
  ExpressionPtr filter(ExpressionPtr input);
  ExpressionPtr filter_chain(ExpressionPtr input);
  ExpressionPtr test(ExpressionPtr input);
  ExpressionPtr subscript(ExpressionPtr object);
  ExpressionPtr subscripted(ExpressionPtr object, Position at);
  ExpressionPtr call(ExpressionPtr callee);
  CallArguments call_arguments();
  bool at_tuple_end() const;

  // Makes a node out of its parts; its depth is one more than the deepest's.
  template <class Node>
  ExpressionPtr make(Position at, Node node);
  void bound_depth(Position at, std::size_t depth) const;

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return std::move(tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]); }
  bool skip(std::string_view op);
  bool skip_name(std::string_view name);
  void expect(std::string_view op);
  void expect_name(std::string_view name);
  std::string expect_identifier();
  std::string expect_variable();
  void expect_tag_end();
  [[noreturn]] void unexpected(std::string_view wanted) const;
  [[noreturn]] void fail(Position at, std::string_view why, std::string_view remedy = {}) const;

  class Nesting;
  class Frame;

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::size_t nesting_ = 0;
  std::size_t variables_ = 0;  // that expressions read so far
  std::size_t loops_ = 0;      // around this place, within the same macro
  std::shared_ptr<Program> program_;
  std::vector<MacroDefinition*> macros_;    // being defined, outermost first
  std::unordered_set<std::string> blocks_;  // their names so far
  bool may_not_run_ = false;                // directly within {% if %}, as jinja2 counts
  // Filters and tests that there are not, where they must be there whether that part of the template runs or not.
  struct Unknown {
    Position at;
    std::string why;
    std::string_view remedy;
  };
  std::vector<Unknown> unknown_;
};

// What jinja2 calls a frame: the branches of an if, or what another block encloses, for as long as it lives.
class Parser::Frame {
 public:
  Frame(Parser& parser, bool may_not_run) : parser_(parser), before_(std::exchange(parser.may_not_run_, may_not_run)) {}
  ~Frame() { parser_.may_not_run_ = before_; }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

 private:
  Parser& parser_;
  bool before_;
};

// Counts one level for as long as it lives.
class Parser::Nesting {
 public:
  explicit Nesting(Parser& parser) : parser_(parser) {
    parser.bound_depth(parser.current().position, ++parser.nesting_);
  }
  ~Nesting() { --parser_.nesting_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  Parser& parser_;
};

}  // namespace jinja
