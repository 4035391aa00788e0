// The global `dict`, which is a class in Python: it makes dicts, has their methods, and dict[…] names a type.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "jinja/object.h"

namespace jinja {

// What dict() and namespace() are given: a dict or pairs, and named arguments.
Dict members(std::string_view function, const Args& args);

class DictClass : public Object {
 public:
  std::string type_name() const override { return "type"; }
  std::string repr() override { return "<class 'dict'>"; }
  bool callable() const override { return true; }
  Value call(Interpreter&, const Args& args) override { return Value::dict(members("dict", args)); }
  std::optional<Value> attribute(std::string_view name) override;
  std::optional<Value> item(const Value& index) override;
};

}  // namespace jinja
