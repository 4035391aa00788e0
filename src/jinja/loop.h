// The variable `loop` of a for, and macros as values.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "jinja/ast.h"
#include "jinja/interpreter.h"
#include "jinja/object.h"

namespace jinja {

class Loop : public Object {
 public:
  // `wanted`: whether the loop's condition lets an element through. It is asked as late as possible, because the body
  // may change what it reads.
  Loop(Values items, std::function<bool(const Value&)> wanted, std::size_t level)
      : Object(depth_of(items)), items_(std::move(items)), wanted_(std::move(wanted)), level_(level) {}

  // Allows `loop(children)`.
  void allow_recursion(const For* loop, std::shared_ptr<Scope> scope);

  // The next element, which becomes the current one.
  std::optional<Value> next();

  std::string type_name() const override { return "LoopContext"; }
  std::string repr() override;
  bool iterable() const override { return true; }
  std::optional<Values> iterate() override;
  std::optional<std::size_t> length() override { return count(); }
  std::optional<Value> attribute(std::string_view name) override;
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, const Args& args) override;
  void clear() override {
    last_changed_.reset();
    scope_.reset();
    wanted_ = nullptr;
    items_.clear();
    before_.reset(), current_.reset(), after_.reset();
  }

 private:
  const std::optional<Value>& peek();
  bool wants(const Value& item);
  std::size_t count();
  Value cycle(const Args& args) const;
  Value changed(Interpreter& interpreter, const Args& args);

  Values items_;
  std::function<bool(const Value&)> wanted_;
  std::size_t level_;  // 0 for the outermost of recursive loops
  const For* recursive_ = nullptr;
  std::shared_ptr<Scope> scope_;
  std::size_t at_ = 0;     // of items_: the first not looked at
  std::size_t taken_ = 0;  // elements given out, the current one included
  std::optional<Value> before_, current_, after_;
  bool asking_ = false;        // the condition is being evaluated
  bool looked_ahead_ = false;  // after_ is what follows, or nothing does
  std::optional<Value> last_changed_;
};

class Macro : public Object {
 public:
  Macro(const MacroDefinition& definition, const Program& program, std::shared_ptr<Scope> scope, Escaping escaping)
      : definition_(definition), program_(program), scope_(std::move(scope)), escaping_(escaping) {}

  std::string type_name() const override { return "Macro"; }
  std::string repr() override;
  std::optional<Value> attribute(std::string_view name) override;
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, const Args& args) override;

 private:
  const MacroDefinition& definition_;
  const Program& program_;
  std::shared_ptr<Scope> scope_;
  Escaping escaping_;
};

}  // namespace jinja
