// The operators of expressions, as Python's operators work on these values. All fail on operands that Python refuses.
#pragma once

#include <string_view>

#include "jinja/value.h"

namespace jinja {

enum class BinaryOperator { Add, Subtract, Multiply, Divide, FloorDivide, Modulo, Power };

Value apply(BinaryOperator op, const Value& a, const Value& b);
Value negate(const Value& v);
Value plus(const Value& v);
bool contains(const Value& container, const Value& item);

// Appends s, escaped first if the one of them is markup and the other is not.
Value concatenate(const Value& a, const Value& b);

// Both are undefined, with a reason, if there is no such thing. `object[index]`:
Value item_of(const Value& object, const Value& index);
// `object.name`: a method or an attribute, else the item of that name.
Value attribute_of(const Value& object, std::string_view name);

struct Slice {
  Int start, stop, step;
};
// Bounds within a sequence of `length` elements, from a slice's three values, each None or an integer.
Slice resolve_slice(std::size_t length, const Value& start, const Value& stop, const Value& step);
Value slice_of(const Value& object, const Value& start, const Value& stop, const Value& step);

Int add_checked(Int a, Int b);
Int multiply_checked(Int a, Int b);

}  // namespace jinja
