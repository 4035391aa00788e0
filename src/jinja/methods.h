// The methods that values have in Python, by name.
#pragma once

#include <optional>
#include <string_view>

#include "jinja/object.h"
#include "jinja/value.h"

namespace jinja {

using Method = Value (*)(const Value& self, const Args& args);

// nullptr if there is none of that name.
Method string_method(std::string_view name);
Method container_method(Value::Kind kind, std::string_view name);  // of a list, tuple or dict

// What Python's getattr() finds on a value: a method, an attribute of an object, or an undefined value for what the
// sandbox forbids.
std::optional<Value> python_attribute(const Value& object, std::string_view name);

}  // namespace jinja
