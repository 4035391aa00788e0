#include "jinja/compare.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "jinja/failure.h"
#include "jinja/object.h"
#include "jinja/python.h"

namespace jinja {
namespace {

using Kind = Value::Kind;

// -1, 0 or 1, and 2 if one is not a number. Exact where a double is compared with an integer of up to 64 bits.
int order(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) return a.integer() < b.integer() ? -1 : a.integer() > b.integer() ? 1 : 0;
  const auto widen = [](const Value& v) {
    return v.is_integer() ? static_cast<long double>(v.integer()) : static_cast<long double>(v.number());
  };
  const long double x = widen(a), y = widen(b);
  if (std::isnan(x) || std::isnan(y)) return 2;
  return x < y ? -1 : x > y ? 1 : 0;
}

bool equal_items(const Values& a, const Values& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](const Value& x, const Value& y) { return same(x, y) || equal(x, y); });
}

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.items().begin(), a.items().end(), [&](const Dict::Item& item) {
    const Value* other = b.find(item.first);
    return other != nullptr && (same(item.second, *other) || equal(item.second, *other));
  });
}

bool less_items(const Values& a, const Values& b) {
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!same(a[i], b[i]) && !equal(a[i], b[i])) return less(a[i], b[i]);
  }
  return a.size() < b.size();
}

const Values* tuple_items(const Value& v) {
  if (v.is(Kind::Tuple)) return &v.items();
  if (v.is(Kind::Object) && dynamic_cast<const Group*>(v.object().get()) != nullptr) return v.object()->sequence();
  return nullptr;
}

}  // namespace

bool truth(const Value& v) {
  switch (v.kind()) {
    case Kind::Undefined:
    case Kind::None:
      return false;
    case Kind::Bool:
      return v.boolean();
    case Kind::Integer:
      return v.integer() != 0;
    case Kind::Float:
      return v.number() != 0;
    case Kind::String:
      return !v.text().empty();
    case Kind::List:
    case Kind::Tuple:
      return !v.items().empty();
    case Kind::Dict:
      return v.dict().size() != 0;
    case Kind::Object:
      return v.object()->truth();
  }
  return false;
}

bool equal(const Value& a, const Value& b) {
  Budget::spend(1);
  if (a.is_number() && b.is_number()) return order(a, b) == 0;
  if (const Values* x = tuple_items(a), *y = tuple_items(b); x != nullptr && y != nullptr) return equal_items(*x, *y);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::String:
      if (a.text().size() != b.text().size()) return false;
      Budget::spend_reading(a.text().size());
      return a.text().bytes() == b.text().bytes();
    case Kind::List:
      return equal_items(a.items(), b.items());
    case Kind::Dict:
      return equal_dicts(a.dict(), b.dict());
    case Kind::Object:
      return a.object()->equals(*b.object());
    default:
      return true;
  }
}

std::size_t hash(const Value& v) {
  Budget::spend(1);
  if (const Values* items = tuple_items(v)) {
    std::size_t h = items->size();
    for (const Value& item : *items) h = h * 1'000'003 ^ hash(item);
    return h;
  }
  switch (v.kind()) {
    case Kind::Bool:
    case Kind::Integer:
      return std::hash<double>{}(static_cast<double>(v.integer()));
    case Kind::Float:
      return std::hash<double>{}(v.number());
    case Kind::String:
      Budget::spend_reading(v.text().size());
      return std::hash<std::string>{}(v.text().bytes());
    case Kind::List:
    case Kind::Dict:
      break;
    case Kind::Object:
      if (const auto h = v.object()->hash()) return *h;
      break;
    default:
      return static_cast<std::size_t>(v.kind());
  }
  throw Failure(concat("a ", type_name(v), " cannot be the key of a dict"), "use a string");
}

bool is_hashable(const Value& v) {
  if (const Values* items = tuple_items(v)) return std::all_of(items->begin(), items->end(), is_hashable);
  return v.is(Kind::Object) ? v.object()->hash().has_value() : !v.is(Kind::List) && !v.is(Kind::Dict);
}

bool less(const Value& a, const Value& b) {
  Budget::spend(1);
  if (a.is_number() && b.is_number()) return order(a, b) == -1;
  if (a.is_string() && b.is_string()) {
    Budget::spend_reading(std::min(a.text().size(), b.text().size()));
    return a.text().bytes() < b.text().bytes();
  }
  if (a.is(Kind::List) && b.is(Kind::List)) return less_items(a.items(), b.items());
  if (const Values* x = tuple_items(a), *y = tuple_items(b); x != nullptr && y != nullptr) return less_items(*x, *y);
  for (const Value* v : {&a, &b}) {
    if (v->is_undefined()) throw Failure(v->undefined_reason());
  }
  throw Failure(concat("a value of type ", type_name(a), " cannot be ordered with one of type ", type_name(b)),
                "compare values of one type");
}

bool less_or_equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return order(a, b) <= 0;
  return !less(b, a);
}

bool same(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::Undefined:
      return &a.undefined_reason() == &b.undefined_reason();
    case Kind::None:
      return true;
    case Kind::Bool:
      return a.boolean() == b.boolean();
    // Python keeps one object for each small integer.
    case Kind::Integer:
      return a.integer() == b.integer() && a.integer() >= -5 && a.integer() <= 256;
    case Kind::Float:
      return false;
    case Kind::String:
      return &a.text() == &b.text() || (a.text().empty() && b.text().empty());
    case Kind::List:
      return &a.items() == &b.items();
    case Kind::Tuple:
      return &a.items() == &b.items() || (a.items().empty() && b.items().empty());
    case Kind::Dict:
      return &a.dict() == &b.dict();
    case Kind::Object:
      return a.object() == b.object();
  }
  return false;
}

}  // namespace jinja
