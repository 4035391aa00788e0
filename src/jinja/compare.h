// Python's ==, hash(), < and bool() of values.
#pragma once

#include <cstddef>

#include "jinja/value.h"

namespace jinja {

bool truth(const Value& value);
bool equal(const Value& a, const Value& b);
// Equal values have equal hashes. A list or a dict has none: a Failure.
std::size_t hash(const Value& value);
bool is_hashable(const Value& value);
// a < b; a Failure on types that Python cannot order.
bool less(const Value& a, const Value& b);
bool less_or_equal(const Value& a, const Value& b);
// Python's `is`: the same object, or the same None, bool or undefined value.
bool same(const Value& a, const Value& b);

}  // namespace jinja
