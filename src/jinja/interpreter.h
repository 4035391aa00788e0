// Runs a parsed template. One Interpreter renders once.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/ast.h"
#include "jinja/jinja.h"
#include "jinja/object.h"

namespace jinja {

// Variables of a loop's iteration, a macro's call, a block: what is set here is not seen outside.
struct Scope : std::enable_shared_from_this<Scope> {
  std::shared_ptr<Scope> parent;  // where else a name is looked for; null: in the context
  std::vector<std::pair<std::string, Value>> variables;
  bool captured = false;  // by a macro or a loop that may outlive it

  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);
};

// Whether what a part of the template prints is escaped, as jinja2 knows it before the template runs: where the
// expression of an autoescape block has variables, it asks then.
enum class Escaping { Off, On, Asks };

class Interpreter {
 public:
  explicit Interpreter(const Options& options)
      : options_(options),
        autoescape_(options.autoescape),
        escaping_(options.autoescape ? Escaping::On : Escaping::Off) {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  Text run(const Program& program, const Value& context);

  // For functions, filters and tests, which call each other by name.
  Value call(const Value& callee, const Args& args);
  Value filter(std::string_view name, const Value& input, const Args& args);
  bool test(std::string_view name, const Value& input, const Args& args);
  const Options& options() const { return options_; }
  bool autoescape() const { return autoescape_; }
  Escaping escaping() const { return escaping_; }
  // Clears the object when the render ends: it may have come to hold itself.
  void keep(std::shared_ptr<Object> object) { kept_objects_.push_back(std::move(object)); }

  // For macros and loops, which run a part of the template when they are called.
  Value call_macro(const MacroDefinition& macro, const Program& program, const std::shared_ptr<Scope>& scope,
                   Escaping escaping, const Args& args);
  Value call_loop(const For& loop, const std::shared_ptr<Scope>& scope, const Value& iterable, std::size_t level);

 private:
  enum class Flow { Normal, Break, Continue };
  class Inner;
  // One level of nesting, for as long as it lives; fails if there are too many.
  class Depth {
   public:
    explicit Depth(Interpreter& interpreter);
    ~Depth() { --depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    std::size_t& depth_;
  };

  // interpreter.cpp
  Flow execute(const Block& block);
  Flow execute(const Statement& statement);
  Flow execute(const Data& n);
  Flow execute(const Print& n);
  Flow execute(const If& n);
  Flow execute(const For& n);
  Flow execute(const Set& n);
  Flow execute(const SetBlock& n);
  Flow execute(const std::shared_ptr<MacroDefinition>& n);
  Flow execute(const CallBlock& n);
  Flow execute(const FilterBlock& n);
  Flow execute(const With& n);
  Flow execute(const Autoescape& n);
  Flow execute(const Scoped& n);
  Flow execute(const NamedBlock& n);
  Flow execute(const Include& n);
  Flow execute(const Break& n);
  Flow execute(const Continue& n);
  Flow execute(const Unset& n);
  void run_loop(const For& loop, const Value& iterable, std::size_t level);
  void bind_parameters(const MacroDefinition& macro, const Args& args);
  Text capture(const Block& block);
  void store(const Target& target, Value value);
  void print(const Value& value);
  void emit(const Text& text);
  void keep_scope();
  bool escapes() const { return escaping_ == Escaping::Asks ? autoescape_ : escaping_ == Escaping::On; }

  // evaluate.cpp
  Value evaluate(const Expression& e);
  Value evaluate(const Literal& n, Position at);
  Value evaluate(const Name& n, Position at);
  Value evaluate(const ListLiteral& n, Position at);
  Value evaluate(const TupleLiteral& n, Position at);
  Value evaluate(const DictLiteral& n, Position at);
  Value evaluate(const Negate& n, Position at);
  Value evaluate(const Plus& n, Position at);
  Value evaluate(const Not& n, Position at);
  Value evaluate(const And& n, Position at);
  Value evaluate(const Or& n, Position at);
  Value evaluate(const Binary& n, Position at);
  Value evaluate(const Comparison& n, Position at);
  Value evaluate(const Concat& n, Position at);
  Value evaluate(const Conditional& n, Position at);
  Value evaluate(const Attribute& n, Position at);
  Value evaluate(const Item& n, Position at);
  Value evaluate(const SliceItem& n, Position at);
  Value evaluate(const Call& n, Position at);
  Value evaluate(const Filter& n, Position at);
  Value evaluate(const Test& n, Position at);
  Value filtered(const Expression& filter, const Value& input);  // of a filter block
  Values evaluate_all(const Expressions& expressions);
  Args evaluate(const CallArguments& arguments);

  const Options& options_;
  const Program* program_ = nullptr;
  const Dict* context_ = nullptr;
  std::shared_ptr<Scope> scope_;
  Text* out_ = nullptr;
  Position here_;  // of what is being done, for messages
  std::size_t depth_ = 0;
  bool autoescape_;  // what filters and macros are told
  Escaping escaping_;
  std::shared_ptr<Scope> top_;  // of program_
  std::vector<std::shared_ptr<Scope>> kept_scopes_;
  std::vector<std::shared_ptr<Object>> kept_objects_;
};

// The functions of every template, such as range and namespace; nullptr if there is none of that name.
const Value* global(std::string_view name);

}  // namespace jinja
