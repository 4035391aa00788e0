#include "jinja/methods.h"

#include <algorithm>
#include <array>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/operators.h"
#include "jinja/python.h"

namespace jinja {
namespace {

using Kind = Value::Kind;

Value view(Values items, std::string_view type) { return Value(std::make_shared<DictView>(std::move(items), type)); }

Value dict_get(const Value& self, const Args& args) {
  Bound bound("get", args, {"key", "default", "/"}, 1);
  const Value* found = self.dict().find(bound[0]);
  return found != nullptr ? *found : bound.get(1, Value::none());
}

Value dict_items(const Value& self, const Args& args) {
  Bound bound("items", args, {});
  Budget::spend(self.dict().size());
  Values out;
  for (const auto& [key, value] : self.dict().items()) out.push_back(Value::tuple({key, value}));
  return view(std::move(out), "dict_items");
}

Value dict_keys(const Value& self, const Args& args) {
  Bound bound("keys", args, {});
  Budget::spend(self.dict().size());
  Values out;
  for (const auto& item : self.dict().items()) out.push_back(item.first);
  return view(std::move(out), "dict_keys");
}

Value dict_values(const Value& self, const Args& args) {
  Bound bound("values", args, {});
  Budget::spend(self.dict().size());
  Values out;
  for (const auto& item : self.dict().items()) out.push_back(item.second);
  return view(std::move(out), "dict_values");
}

// Nothing can change a copy either.
Value copy(const Value& self, const Args& args) {
  Bound bound("copy", args, {});
  return self;
}

Value dict_fromkeys(const Value&, const Args& args) {
  Bound bound("fromkeys", args, {"iterable", "value", "/"}, 1);
  Dict out;
  for (const Value& key : iterate(bound[0])) out.set(key, bound.get(1, Value::none()));
  return Value::dict(std::move(out));
}

Value sequence_count(const Value& self, const Args& args) {
  Bound bound("count", args, {"value", "/"}, 1);
  return Value(static_cast<Int>(std::count_if(self.items().begin(), self.items().end(), [&](const Value& v) {
    return same(v, bound[0]) || equal(v, bound[0]);
  })));
}

Value sequence_index(const Value& self, const Args& args) {
  Bound bound("index", args, {"value", "start", "stop", "/"}, 1);
  const Value one(1);
  for (const std::size_t i : {1, 2}) bound.integer(i, 0);  // unlike those of a slice, they may not be none
  const Slice s = resolve_slice(self.items().size(), bound.get(1, Value::none()), bound.get(2, Value::none()), one);
  for (Int i = s.start; i < s.stop; ++i) {
    const Value& v = self.items()[static_cast<std::size_t>(i)];
    if (same(v, bound[0]) || equal(v, bound[0])) return Value(i);
  }
  throw Failure(concat(repr(bound[0]), " is not in the ", type_name(self)), "ask by in first");
}

template <std::size_t N>
bool is_one_of(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Methods that would change a value: the sandbox has none of them.
bool changes(Kind kind, std::string_view name) {
  constexpr std::array<std::string_view, 5> of_dict = {"clear", "pop", "popitem", "setdefault", "update"};
  constexpr std::array<std::string_view, 8> of_list = {"append", "clear",  "extend",  "insert",
                                                       "pop",    "remove", "reverse", "sort"};
  return kind == Kind::Dict ? is_one_of(name, of_dict) : kind == Kind::List && is_one_of(name, of_list);
}

bool is_internal(std::string_view name) { return name.size() > 4 && name.starts_with("__") && name.ends_with("__"); }

Value forbidden(const Value& object, std::string_view name) {
  return Value::undefined(concat("the attribute ", name, " of a ", type_name(object), " is out of a template's reach"));
}

const Value* indexed(const Values& items, const Value& index) {
  if (!index.is_integer()) return nullptr;
  const Int n = static_cast<Int>(items.size());
  const Int i = index.integer() < 0 ? index.integer() + n : index.integer();
  return i < 0 || i >= n ? nullptr : &items[static_cast<std::size_t>(i)];
}

// What Python's object[index] finds.
std::optional<Value> python_item(const Value& object, const Value& index) {
  const auto found = [](const Value* v) { return v == nullptr ? std::nullopt : std::optional<Value>(*v); };
  switch (object.kind()) {
    case Kind::List:
    case Kind::Tuple:
      return found(indexed(object.items(), index));
    case Kind::Dict:
      return is_hashable(index) ? found(object.dict().find(index)) : std::nullopt;
    case Kind::String: {
      if (!index.is_integer()) return std::nullopt;
      const Value end = index.integer() == -1 ? Value::none() : Value(add_checked(index.integer(), 1));
      const Value one = slice_of(object, index, end, Value::none());
      return one.text().empty() ? std::nullopt : std::optional<Value>(one);
    }
    case Kind::Object: {
      const Values* items = object.object()->sequence();
      return items == nullptr ? object.object()->item(index) : found(indexed(*items, index));
    }
    case Kind::Undefined:
      throw Failure(object.undefined_reason());
    default:
      return std::nullopt;
  }
}

Value nothing_there(const Value& object, const Value& name) {
  return Value::undefined(name.is_string()
                              ? concat("a value of type ", type_name(object), " has no attribute ", repr(name))
                              : concat("a value of type ", type_name(object), " has no element ", repr(name)));
}

}  // namespace

Method container_method(Kind kind, std::string_view name) {
  struct Entry {
    std::string_view name;
    Method method;
  };
  static constexpr Entry of_dict[] = {{"copy", copy},        {"fromkeys", dict_fromkeys}, {"get", dict_get},
                                      {"items", dict_items}, {"keys", dict_keys},         {"values", dict_values}};
  static constexpr Entry of_list[] = {{"copy", copy}, {"count", sequence_count}, {"index", sequence_index}};
  static constexpr Entry of_tuple[] = {{"count", sequence_count}, {"index", sequence_index}};
  const auto look = [name](const auto& entries) -> Method {
    for (const Entry& entry : entries) {
      if (entry.name == name) return entry.method;
    }
    return nullptr;
  };
  switch (kind) {
    case Kind::Dict:
      return look(of_dict);
    case Kind::List:
      return look(of_list);
    case Kind::Tuple:
      return look(of_tuple);
    default:
      return nullptr;
  }
}

std::optional<Value> python_attribute(const Value& object, std::string_view name) {
  if (is_internal(name) || changes(object.kind(), name)) return forbidden(object, name);
  if (object.is(Kind::Object)) return object.object()->attribute(name);
  const Method method = object.is_string() ? string_method(name) : container_method(object.kind(), name);
  if (method == nullptr) return std::nullopt;
  auto body = [object, method](Interpreter&, const Args& args) { return method(object, args); };
  return Value(std::make_shared<Function>(concat(name, " of ", type_name(object), " object"), std::move(body),
                                          "built-in method", object.depth() + 1));
}

Value item_of(const Value& object, const Value& index) {
  if (auto item = python_item(object, index)) return *std::move(item);
  if (index.is_string()) {
    if (auto attribute = python_attribute(object, index.text().bytes())) return *std::move(attribute);
  }
  return nothing_there(object, index);
}

Value attribute_of(const Value& object, std::string_view name) {
  // Of what is undefined, too, Python knows the class, and the sandbox keeps it from templates.
  if (object.is_undefined() && !is_internal(name)) throw Failure(object.undefined_reason());
  if (auto attribute = python_attribute(object, name)) return *std::move(attribute);
  const Value index = Value::input(name);
  if (auto item = python_item(object, index)) return *std::move(item);
  return nothing_there(object, index);
}

}  // namespace jinja
