// Values that are neither text, number nor plain container: functions, macros, loops, iterators, views. And how
// arguments reach anything that can be called.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace jinja {

class Interpreter;

struct Args {
  Values positional;
  std::vector<std::pair<std::string, Value>> named;

  bool empty() const { return positional.empty() && named.empty(); }
};

// The arguments of `function` by parameter, as Python binds them: those not given are absent; too many, unknown or
// repeated ones and absent ones among the first `required` are a Failure. A last parameter "/" says, as in Python, that
// those before it cannot be named. The parameters outlive the Bound.
class Bound {
 public:
  Bound(std::string_view function, const Args& args, std::initializer_list<std::string_view> parameters,
        std::size_t required = 0);

  bool has(std::size_t i) const { return values_[i].has_value(); }
  bool has_value(std::size_t i) const { return has(i) && !values_[i]->is_none(); }  // given, and not None
  const Value& operator[](std::size_t i) const { return *values_[i]; }
  Value get(std::size_t i, const Value& fallback) const { return has(i) ? *values_[i] : fallback; }
  bool truth(std::size_t i, bool fallback) const;
  // Fail if the argument is of another type.
  Int integer(std::size_t i, Int fallback) const;
  Int machine_integer(std::size_t i, Int fallback, int bits = 64) const;  // fails, too, if it takes more bits
  Text text(std::size_t i, std::string_view fallback) const;              // the fallback counts as the template's own

 private:
  std::string function_;
  std::vector<std::string_view> parameters_;
  std::vector<std::optional<Value>> values_;
};

class Object : public std::enable_shared_from_this<Object> {
 public:
  // `depth`: how deep values are nested in it, which is bounded like a list's; 0 if it holds none.
  explicit Object(std::size_t depth = 0);
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  std::size_t depth() const { return depth_; }

  virtual std::string type_name() const = 0;  // Python's
  virtual std::string repr() = 0;
  virtual bool truth() const { return true; }
  // Absent: no such attribute; not callable; not iterable; without a length.
  virtual std::optional<Value> attribute(std::string_view) { return std::nullopt; }
  virtual bool callable() const { return false; }
  virtual Value call(Interpreter&, const Args&);
  virtual std::optional<Values> iterate() { return std::nullopt; }
  virtual bool iterable() const { return false; }
  virtual std::optional<std::size_t> length() { return std::nullopt; }
  // What object[index] gives, where that is no element of sequence().
  virtual std::optional<Value> item(const Value&) { return std::nullopt; }
  // The elements, of an object that can be indexed and sliced (a range, a named tuple).
  virtual const Values* sequence() const { return nullptr; }
  virtual bool equals(const Object& other) const { return this == &other; }
  // Equal ones have the same; absent if it cannot be the key of a dict.
  virtual std::optional<std::size_t> hash() const { return std::hash<const void*>{}(this); }
  // Lets go of what it holds. At the end of a render, for objects that may have come to hold themselves.
  virtual void clear() {}

 private:
  std::size_t depth_;
};

// 1 + that of the deepest element.
std::size_t depth_of(const Values& items);

// A function of the language, a class that can be called, or a method bound to its object.
class Function : public Object {
 public:
  using Body = std::function<Value(Interpreter&, const Args&)>;

  // `depth` is that of the values bound into the body.
  Function(std::string name, Body body, std::string_view type = "function", std::size_t depth = 0)
      : Object(depth), name_(std::move(name)), type_(type), body_(std::move(body)) {}

  std::string type_name() const override { return type_; }
  std::string repr() override;
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, const Args& args) override { return body_(interpreter, args); }

 private:
  std::string name_;
  std::string type_;
  Body body_;
};

// What Python's generators and iterators are to a template: values that can be gone through once.
class Iterator : public Object {
 public:
  Iterator(Values items, std::string_view type) : Object(depth_of(items)), items_(std::move(items)), type_(type) {}
  // `make` is asked for the items when the first is wanted: whoever wants none is spared its failures. `depth` is that
  // of the values bound into it.
  Iterator(std::function<Values()> make, std::size_t depth)
      : Object(depth), make_(std::move(make)), type_("generator") {}

  std::string type_name() const override { return type_; }
  std::string repr() override;
  bool iterable() const override { return true; }
  std::optional<Values> iterate() override;
  std::optional<Value> next();

 private:
  void fill();

  std::function<Values()> make_;  // null once it was asked
  Values items_;
  std::size_t at_ = 0;
  std::string type_;
};

// dict.keys(), .values() and .items().
class DictView : public Object {
 public:
  DictView(Values items, std::string_view type) : Object(depth_of(items)), items_(std::move(items)), type_(type) {}

  std::string type_name() const override { return type_; }
  std::string repr() override;
  bool truth() const override { return !items_.empty(); }
  bool iterable() const override { return true; }
  std::optional<Values> iterate() override { return items_; }
  std::optional<std::size_t> length() override { return items_.size(); }
  bool equals(const Object& other) const override;
  std::optional<std::size_t> hash() const override { return type_ == "dict_values" ? Object::hash() : std::nullopt; }

 private:
  Values items_;
  std::string type_;
};

class Range : public Object {
 public:
  // Fails on a step of zero and on more than 100,000 elements.
  Range(Int start, Int stop, Int step);

  std::string type_name() const override { return "range"; }
  std::string repr() override;
  bool truth() const override { return !items_.empty(); }
  bool iterable() const override { return true; }
  std::optional<Values> iterate() override { return items_; }
  std::optional<std::size_t> length() override { return items_.size(); }
  const Values* sequence() const override { return &items_; }
  bool equals(const Object& other) const override;
  std::optional<std::size_t> hash() const override;
  std::optional<Value> attribute(std::string_view name) override;
  Value slice(const Value& start, const Value& stop, const Value& step) const;

 private:
  Int start_, stop_, step_;
  Values items_;
};

// An element of groupby: a tuple with names.
class Group : public Object {
 public:
  Group(Value grouper, Value list) : Object(list.depth() + 1), items_{std::move(grouper), std::move(list)} {}

  std::string type_name() const override { return "_GroupTuple"; }
  std::string repr() override;
  std::optional<Value> attribute(std::string_view name) override;
  bool iterable() const override { return true; }
  std::optional<Values> iterate() override { return items_; }
  std::optional<std::size_t> length() override { return items_.size(); }
  const Values* sequence() const override { return &items_; }

 private:
  Values items_;
};

// namespace(): the only thing a template can change after making it. The render empties it at its end, since it may
// hold itself.
class Namespace : public Object {
 public:
  explicit Namespace(Dict members) : members_(std::move(members)) {}

  std::string type_name() const override { return "Namespace"; }
  std::string repr() override;
  std::optional<Value> attribute(std::string_view name) override;
  void set(std::string_view name, Value value) { members_.set(name, std::move(value)); }
  void clear() override { members_ = {}; }

 private:
  Dict members_;
};

}  // namespace jinja
