#include "jinja/parser.h"

#include <algorithm>

#include "jinja/failure.h"
#include "jinja/names.h"

namespace jinja {
namespace {

constexpr std::size_t max_depth = 200;

std::string any_of(std::initializer_list<std::string_view> names) {
  std::string out;
  for (const std::string_view name : names) out.append(out.empty() ? "" : " or ").append(concat("{% ", name, " %}"));
  return out;
}

// Whether the tag is none that can stand alone.
bool is_part_of_block(const Token& tag) {
  return tag.kind == TokenKind::Name && (tag.text.starts_with("end") || tag.text == "else" || tag.text == "elif");
}

}  // namespace

Parser::Parser(std::vector<Token> tokens, std::string name)
    : tokens_(std::move(tokens)), program_(std::make_shared<Program>()) {
  program_->name = std::move(name);
}

std::shared_ptr<const Program> Parser::run() {
  program_->body = block_until({}, {}, {});
  if (!unknown_.empty()) fail(unknown_.front().at, unknown_.front().why, unknown_.front().remedy);
  unset_stored_names(program_->body);
  return std::move(program_);
}

void Parser::fail(Position at, std::string_view why, std::string_view remedy) const {
  fail_at(program_->name, at, why, remedy);
}

void Parser::unexpected(std::string_view wanted) const {
  fail(current().position, concat("unexpected ", describe(current())), concat("expected ", wanted));
}

bool Parser::skip(std::string_view op) {
  if (!current().is(op)) return false;
  take();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

void Parser::expect(std::string_view op) {
  if (!skip(op)) unexpected(concat("'", op, "'"));
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) unexpected(concat("'", name, "'"));
}

std::string Parser::expect_identifier() {
  if (current().kind != TokenKind::Name) unexpected("a name");
  return take().text;
}

// A name in which something can be stored.
std::string Parser::expect_variable() {
  const Position at = current().position;
  std::string name = expect_identifier();
  for (const std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
    if (name == constant) fail(at, concat("nothing can be stored in ", name), "expected a name");
  }
  return name;
}

void Parser::expect_tag_end() {
  if (current().kind != TokenKind::TagEnd) unexpected("%}");
  take();
}

void Parser::bound_depth(Position at, std::size_t depth) const {
  if (depth > max_depth) fail(at, concat("this is nested more than ", max_depth, " deep"), "write it flatter");
}

// Up to a tag that starts with one of `ends`, which becomes the current token; without ends, the whole template.
Block Parser::block_until(std::initializer_list<std::string_view> ends, Position opened, std::string_view tag) {
  Nesting nesting(*this);
  Block block;
  for (;;) {
    switch (current().kind) {
      case TokenKind::Data: {
        const Position at = current().position;
        block.push_back({Data{Text::from_template(take().text)}, at});
        break;
      }
      case TokenKind::PrintBegin:
        print(block);
        break;
      case TokenKind::TagBegin:
        take();
        if (std::any_of(ends.begin(), ends.end(), [&](auto end) { return current().is_name(end); })) return block;
        if (is_part_of_block(current())) {
          const std::string_view found = current().text;
          if (ends.size() == 0)
            fail(current().position, concat("the tag ", found, " belongs to no block"),
                 "expected one that opens it before");
          fail(current().position, concat("the tag ", found, " does not belong to the tag ", tag),
               concat("expected ", any_of(ends)));
        }
        statement(block);
        expect_tag_end();
        break;
      default:
        if (ends.size() > 0) fail(opened, concat("the tag ", tag, " is not closed"), concat("write ", any_of(ends)));
        return block;
    }
  }
}

// The rest of an opening tag and what it encloses.
Block Parser::body(std::initializer_list<std::string_view> ends, Position opened, std::string_view tag) {
  skip(":");
  expect_tag_end();
  return block_until(ends, opened, tag);
}

void Parser::print(Block& block) {
  const Position at = take().position;
  block.push_back({Print{tuple(true, false)}, at});
  if (current().kind != TokenKind::PrintEnd) unexpected("}}");
  take();
}

void Parser::statement(Block& block) {
  const Token& tag = current();
  const Position at = tag.position;
  if (tag.kind != TokenKind::Name) unexpected("the name of a tag");
  const std::string name = take().text;
  if (name == "for") return parse_for(block, at);
  if (name == "if") return parse_if(block, at);
  if (name == "set") return parse_set(block, at);
  if (name == "with") return parse_with(block, at);
  if (name == "call") return parse_call(block, at);
  if (name == "macro") return parse_macro(block, at);
  if (name == "block") return parse_block(block, at);
  if (name == "include") return parse_include(block, at);
  if (name == "filter") return parse_filter(block, at);
  if (name == "generation") {
    const Frame frame(*this, false);
    const std::size_t loops = std::exchange(loops_, 0);  // to jinja2 this is a call block
    Block inner = body({"endgeneration"}, at, name);
    loops_ = loops;
    take();
    block.push_back({Scoped{std::move(inner)}, at});
  } else if (name == "autoescape") {
    const Frame frame(*this, false);
    const std::size_t variables = variables_;
    ExpressionPtr enabled = expression();
    const bool is_constant = variables == variables_;
    Block inner = body({"endautoescape"}, at, name);
    take();
    block.push_back({Autoescape{std::move(enabled), is_constant, std::move(inner)}, at});
  } else if (name == "print") {
    for (bool first = true; current().kind != TokenKind::TagEnd; first = false) {
      if (!first) expect(",");
      block.push_back({Print{expression()}, at});
    }
  } else if (name == "break" || name == "continue") {
    if (loops_ == 0) fail(at, concat("the tag ", name, " stands outside a loop"), "expected {% for %} around it");
    if (name == "break") {
      block.push_back({Break{}, at});
    } else {
      block.push_back({Continue{}, at});
    }
  } else if (name == "extends" || name == "import" || name == "from") {
    fail(at, concat("the tag ", name, " is not part of the language here"), "put everything into one template");
  } else {
    fail(at, concat("there is no tag ", name), "expected one such as if, for, set or macro");
  }
}

void Parser::parse_for(Block& block, Position at) {
  For loop;
  loop.target = target(false);
  expect_name("in");
  loop.iterable = tuple(false, false);
  const Frame frame(*this, false);
  if (skip_name("if")) loop.condition = expression();
  loop.recursive = skip_name("recursive");
  ++loops_;
  loop.body = body({"endfor", "else"}, at, "for");
  --loops_;
  if (take().text == "else") {
    loop.otherwise = body({"endfor"}, at, "for");
    take();
  }
  block.push_back({std::move(loop), at});
}

void Parser::parse_if(Block& block, Position at) {
  If branches;
  const Frame frame(*this, true);
  std::string end = "elif";
  while (end == "elif") {
    ExpressionPtr condition = tuple(false, false);
    Block inner = body({"elif", "else", "endif"}, at, "if");
    branches.branches.emplace_back(std::move(condition), std::move(inner));
    end = take().text;
  }
  if (end == "else") {
    branches.otherwise = body({"endif"}, at, "if");
    take();
  }
  block.push_back({std::move(branches), at});
}

void Parser::parse_set(Block& block, Position at) {
  Target stored = target(true);
  if (skip("=")) {
    block.push_back({Set{std::move(stored), tuple(true, false)}, at});
    return;
  }
  const Frame frame(*this, false);
  ExpressionPtr applied = current().is("|") ? filter_chain(nullptr) : nullptr;
  Block inner = body({"endset"}, at, "set");
  take();
  block.push_back({SetBlock{std::move(stored), std::move(applied), std::move(inner)}, at});
}

void Parser::parse_with(Block& block, Position at) {
  With with;
  while (current().kind != TokenKind::TagEnd && !current().is(":")) {
    if (!with.values.empty()) expect(",");
    Target stored = target(false);
    expect("=");
    with.values.emplace_back(std::move(stored), expression());
  }
  const Frame frame(*this, false);
  with.body = body({"endwith"}, at, "with");
  take();
  block.push_back({std::move(with), at});
}

void Parser::parse_filter(Block& block, Position at) {
  const Frame frame(*this, false);
  ExpressionPtr applied = filter(nullptr);
  applied = filter_chain(std::move(applied));
  Block inner = body({"endfilter"}, at, "filter");
  take();
  block.push_back({FilterBlock{std::move(applied), std::move(inner)}, at});
}

std::vector<Parameter> Parser::parameters() {
  const Frame frame(*this, false);
  std::vector<Parameter> out;
  expect("(");
  while (!current().is(")")) {
    if (!out.empty()) expect(",");
    const Position at = current().position;
    Parameter parameter{expect_variable(), nullptr};
    if (skip("=")) {
      parameter.fallback = expression();
    } else if (!out.empty() && out.back().fallback != nullptr) {
      fail(at, "a parameter without a default follows one that has one", "swap them");
    }
    out.push_back(std::move(parameter));
  }
  expect(")");
  return out;
}

Block Parser::macro_body(MacroDefinition& macro, std::string_view end, Position at, std::string_view tag) {
  const Frame frame(*this, false);
  macros_.push_back(&macro);
  const std::size_t loops = std::exchange(loops_, 0);
  Block inner = body({end}, at, tag);
  loops_ = loops;
  macros_.pop_back();
  take();
  return inner;
}

void Parser::parse_call(Block& block, Position at) {
  CallBlock call_block;
  call_block.caller.name = "caller";
  if (current().is("(")) call_block.caller.parameters = parameters();
  call_block.call = expression();
  if (!std::holds_alternative<Call>(call_block.call->node)) fail(at, "a call block calls nothing", "expected a call");
  call_block.caller.body = macro_body(call_block.caller, "endcall", at, "call");
  block.push_back({std::move(call_block), at});
}

void Parser::parse_macro(Block& block, Position at) {
  auto macro = std::make_shared<MacroDefinition>();
  macro->name = expect_variable();
  macro->parameters = parameters();
  macro->body = macro_body(*macro, "endmacro", at, "macro");
  block.push_back({std::move(macro), at});
}

void Parser::parse_block(Block& block, Position at) {
  const std::string name = expect_identifier();
  if (!blocks_.insert(name).second)
    fail(at, concat("there is a block ", name, " already"), "give each block a name of its own");
  const bool scoped = skip_name("scoped");
  const Frame frame(*this, false);
  // What is within a block is outside the loops and macros around it.
  const std::size_t loops = std::exchange(loops_, 0);
  std::vector<MacroDefinition*> macros = std::exchange(macros_, {});
  Block inner = body({"endblock"}, at, "block");
  macros_ = std::move(macros);
  loops_ = loops;
  take();
  skip_name(name);
  block.push_back({NamedBlock{std::move(inner), scoped}, at});
}

void Parser::parse_include(Block& block, Position at) {
  Include include{expression(), false, true};
  if (current().is_name("ignore") && ahead().is_name("missing")) {
    take();
    take();
    include.ignore_missing = true;
  }
  if ((current().is_name("with") || current().is_name("without")) && ahead().is_name("context")) {
    include.with_context = take().text == "with";
    take();
  }
  block.push_back({std::move(include), at});
}

Target Parser::single_target() {
  Nesting nesting(*this);
  if (skip("(")) {
    Target inner;
    if (current().is(")")) {
      inner.is_tuple = true;  // of no names
    } else {
      inner = target(false);
    }
    expect(")");
    return inner;
  }
  Target single;
  single.name = expect_variable();
  return single;
}

Target Parser::target(bool may_be_attribute) {
  if (may_be_attribute && ahead().is(".")) {
    Target stored;
    stored.name = expect_identifier();
    expect(".");
    stored.attribute = expect_identifier();
    return stored;
  }
  Target first = single_target();
  if (!current().is(",")) return first;
  Target all;
  all.is_tuple = true;
  all.parts.push_back(std::move(first));
  while (skip(",")) {
    if (at_tuple_end()) break;
    all.parts.push_back(single_target());
  }
  return all;
}

}  // namespace jinja
