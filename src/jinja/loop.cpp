#include "jinja/loop.h"

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/python.h"

namespace jinja {

void Loop::allow_recursion(const For* loop, std::shared_ptr<Scope> scope) {
  recursive_ = loop;
  scope_ = std::move(scope);
}

// The condition may use this very loop, which Python refuses as well.
bool Loop::wants(const Value& item) {
  if (!wanted_) return true;
  if (asking_) throw Failure("the loop's condition asks for what comes after the item it is to judge");
  asking_ = true;
  const bool wanted = wanted_(item);
  asking_ = false;
  return wanted;
}

const std::optional<Value>& Loop::peek() {
  if (!looked_ahead_) {
    after_.reset();
    while (at_ < items_.size() && !after_) {
      if (Value item = items_[at_++]; wants(item)) after_ = std::move(item);
    }
    looked_ahead_ = true;
  }
  return after_;
}

std::optional<Value> Loop::next() {
  if (!peek()) return std::nullopt;
  looked_ahead_ = false;
  before_ = std::move(current_);
  current_ = std::move(after_);
  ++taken_;
  return current_;
}

std::optional<Values> Loop::iterate() {
  Values rest;
  // jinja2's loop, gone through by itself, gives each element with the loop.
  const Value self(shared_from_this());
  while (auto item = next()) rest.push_back(Value::tuple({*std::move(item), self}));
  return rest;
}

std::size_t Loop::count() {
  if (wanted_) {
    Values rest;
    if (looked_ahead_ && after_) rest.push_back(*after_);
    for (; at_ < items_.size(); ++at_) {
      if (wants(items_[at_])) rest.push_back(items_[at_]);
    }
    items_ = std::move(rest);
    at_ = looked_ahead_ && after_ ? 1 : 0;
    wanted_ = nullptr;
  }
  return taken_ + (looked_ahead_ && after_ ? 1 : 0) + items_.size() - at_;
}

std::string Loop::repr() { return concat("<LoopContext ", taken_, "/", count(), ">"); }

Value Loop::cycle(const Args& args) const {
  if (args.positional.empty() || !args.named.empty()) throw Failure("loop.cycle wants values to cycle through");
  return args.positional[(taken_ - 1) % args.positional.size()];
}

Value Loop::changed(Interpreter& interpreter, const Args& args) {
  if (!args.named.empty()) throw Failure("loop.changed takes no named arguments", "give them by their places");
  Value now = Value::tuple(args.positional);
  if (last_changed_ && equal(*last_changed_, now)) return Value(false);
  if (!last_changed_) interpreter.keep(shared_from_this());  // the arguments may hold the loop
  last_changed_ = std::move(now);
  return Value(true);
}

std::optional<Value> Loop::attribute(std::string_view name) {
  if (name == "index") return Value(taken_);
  if (name == "index0") return Value(static_cast<Int>(taken_) - 1);
  if (name == "revindex") return Value(static_cast<Int>(count() - taken_) + 1);
  if (name == "revindex0") return Value(count() - taken_);
  if (name == "first") return Value(taken_ == 1);
  if (name == "last") return Value(!peek().has_value());
  if (name == "length") return Value(count());
  if (name == "depth") return Value(level_ + 1);
  if (name == "depth0") return Value(level_);
  if (name == "previtem") return taken_ > 1 ? *before_ : Value::undefined("there is no previous item");
  if (name == "nextitem") return peek() ? *peek() : Value::undefined("there is no next item");
  const auto self = std::static_pointer_cast<Loop>(shared_from_this());
  if (name == "cycle") {
    auto body = [self](Interpreter&, const Args& args) { return self->cycle(args); };
    return Value(std::make_shared<Function>("cycle", std::move(body), "bound method", depth() + 1));
  }
  if (name == "changed") {
    auto body = [self](Interpreter& interpreter, const Args& args) { return self->changed(interpreter, args); };
    return Value(std::make_shared<Function>("changed", std::move(body), "bound method", depth() + 1));
  }
  return std::nullopt;
}

Value Loop::call(Interpreter& interpreter, const Args& args) {
  Bound bound("loop", args, {"iterable"}, 1);
  if (recursive_ == nullptr) throw Failure("the loop is not recursive", "write recursive at the end of its for tag");
  return interpreter.call_loop(*recursive_, scope_, bound[0], level_ + 1);
}

std::string Macro::repr() { return concat("<Macro ", jinja::repr(std::string_view(definition_.name)), ">"); }

std::optional<Value> Macro::attribute(std::string_view name) {
  if (name == "name") return Value::own(definition_.name);
  if (name == "catch_kwargs") return Value(definition_.reads_kwargs);
  if (name == "catch_varargs") return Value(definition_.reads_varargs);
  if (name == "caller") return Value(definition_.reads_caller);
  if (name == "arguments") {
    Values names;
    for (const Parameter& parameter : definition_.parameters) names.push_back(Value::own(parameter.name));
    return Value::tuple(std::move(names));
  }
  return std::nullopt;
}

Value Macro::call(Interpreter& interpreter, const Args& args) {
  return interpreter.call_macro(definition_, program_, scope_, escaping_, args);
}

}  // namespace jinja
