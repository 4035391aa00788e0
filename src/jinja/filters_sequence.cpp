#include <algorithm>
#include <map>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/filters.h"
#include "jinja/interpreter.h"
#include "jinja/operators.h"
#include "jinja/python.h"
#include "jinja/strings.h"

namespace jinja {
namespace {

using Kind = Value::Kind;

Bound bind_batch(const Args& args) { return {"batch", args, {"linecount", "fill_with"}, 1}; }

Values batch(Interpreter&, const Value& input, const Args& args) {
  const Bound bound = bind_batch(args);
  Values out, line;
  for (Value& item : iterate(input)) {
    // Python compares the two, whatever the second is.
    if (equal(Value(line.size()), bound[0])) out.push_back(Value::list(std::exchange(line, {})));
    line.push_back(std::move(item));
  }
  if (!line.empty()) {
    if (bound.has_value(1) && less(Value(line.size()), bound[0])) {
      const auto size =
          static_cast<std::size_t>(std::min<Int>(bound.integer(0, 0), Int{1} << 40));  // more than the line has
      Budget::spend(size);
      line.resize(size, bound[1]);
    }
    out.push_back(Value::list(std::move(line)));
  }
  return out;
}

Bound bind_slice(const Args& args) { return {"slice", args, {"slices", "fill_with"}, 1}; }

Values slice(Interpreter&, const Value& input, const Args& args) {
  const Bound bound = bind_slice(args);
  const Int wanted = bound.integer(0, 0);
  if (wanted == 0) throw Failure("slice was asked for 0 slices", "ask for at least one");
  const Values items = iterate(input);
  if (wanted < 0) return {};
  const auto slices = static_cast<std::size_t>(std::min<Int>(wanted, Int{1} << 40));
  Budget::spend(slices);
  Values out;
  std::size_t at = 0;
  for (std::size_t i = 0; i < slices; ++i) {
    const bool longer = i < items.size() % slices;
    const std::size_t end = at + items.size() / slices + (longer ? 1 : 0);
    Values part(items.begin() + static_cast<std::ptrdiff_t>(at), items.begin() + static_cast<std::ptrdiff_t>(end));
    if (bound.has_value(1) && !longer) part.push_back(bound[1]);
    out.push_back(Value::list(std::move(part)));
    at = end;
  }
  return out;
}

// Python's sorted() takes an integer there, and nothing else that is true or false.
bool reversed(const Bound& bound, std::size_t i) { return bound.machine_integer(i, 0, 32) != 0; }

// Stable; `reverse` keeps the order of equal keys, too.
Values sorted_by(Values items, const Values& keys, bool reverse) {
  std::vector<std::size_t> order(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return reverse ? less(keys[b], keys[a]) : less(keys[a], keys[b]);
  });
  Values out;
  for (const std::size_t i : order) out.push_back(std::move(items[i]));
  return out;
}

Value dict_sort(Interpreter&, const Value& input, const Args& args) {
  Bound bound("dictsort", args, {"case_sensitive", "by", "reverse"});
  const std::string by = bound.text(1, "key").bytes();
  if (by != "key" && by != "value") throw Failure("dictsort sorts by neither", "expected by='key' or by='value'");
  if (!input.is(Kind::Dict)) throw Failure(concat("dictsort wants a dict, not a value of type ", type_name(input)));
  Values items, keys;
  for (const auto& [key, value] : input.dict().items()) {
    items.push_back(Value::tuple({key, value}));
    keys.push_back(sort_key(by == "key" ? key : value, bound.truth(0, false)));
  }
  return Value::list(sorted_by(std::move(items), keys, reversed(bound, 2)));
}

Value sort(Interpreter&, const Value& input, const Args& args) {
  Bound bound("sort", args, {"reverse", "case_sensitive", "attribute"});
  std::vector<Value> paths;
  if (bound.has_value(2) && bound[2].is_string()) {
    for (const Text& path : strings::split(bound[2].text(), Text::from_template(","), -1)) paths.emplace_back(path);
  } else {
    paths.push_back(bound.get(2, Value::none()));
  }
  Values items = iterate(input), keys;
  for (const Value& item : items) {
    Values parts;
    for (const Value& path : paths) parts.push_back(sort_key(look_up(item, path), bound.truth(1, false)));
    keys.push_back(Value::list(std::move(parts)));
  }
  return Value::list(sorted_by(std::move(items), keys, reversed(bound, 0)));
}

Value group_by(Interpreter&, const Value& input, const Args& args) {
  Bound bound("groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  const Value* fallback = bound.has_value(1) ? &bound[1] : nullptr;
  const bool case_sensitive = bound.truth(2, false);
  const auto key_of = [&](const Value& item) { return sort_key(look_up(item, bound[0], fallback), case_sensitive); };
  Values items = iterate(input), keys;
  for (const Value& item : items) keys.push_back(key_of(item));
  items = sorted_by(std::move(items), keys, false);
  Values out;
  for (std::size_t at = 0; at < items.size();) {
    const Value key = key_of(items[at]);
    Values group;
    while (at < items.size() && equal(key_of(items[at]), key)) group.push_back(items[at++]);
    // Among keys that differ in case, the group is called by the first.
    Value name = case_sensitive ? key : look_up(group.front(), bound[0], fallback);
    out.emplace_back(std::make_shared<Group>(std::move(name), Value::list(std::move(group))));
  }
  return Value::list(std::move(out));
}

Value first(Interpreter&, const Value& input, const Args& args) {
  Bound bound("first", args, {});
  if (input.is(Kind::Object)) {
    if (auto* generator = dynamic_cast<Iterator*>(input.object().get())) {
      return generator->next().value_or(Value::undefined("there is no first item: the sequence is empty"));
    }
  }
  const Values items = iterate(input);
  return items.empty() ? Value::undefined("there is no first item: the sequence is empty") : items.front();
}

// Python can go backwards through these, and through dict views.
bool is_reversible(const Value& v) {
  if (v.is(Kind::Object)) {
    return v.object()->sequence() != nullptr || dynamic_cast<DictView*>(v.object().get()) != nullptr;
  }
  return is_iterable(v);
}

Value last(Interpreter&, const Value& input, const Args& args) {
  Bound bound("last", args, {});
  if (!is_reversible(input))
    throw Failure(concat("a value of type ", type_name(input), " has no last item"), "turn it into a list first");
  const Values items = iterate(input);
  return items.empty() ? Value::undefined("there is no last item: the sequence is empty") : items.back();
}

Value reverse(Interpreter&, const Value& input, const Args& args) {
  Bound bound("reverse", args, {});
  if (input.is_string()) return Value(strings::reversed(input.text()), input.safe());
  Values items = iterate(input);
  std::reverse(items.begin(), items.end());
  if (!is_reversible(input)) return Value::list(std::move(items));
  return Value(std::make_shared<Iterator>(std::move(items), "reversed"));
}

Bound bind_items(const Args& args) { return {"items", args, {}}; }

Values items_of(Interpreter&, const Value& input, const Args&) {
  Values out;
  if (!input.is_undefined()) {
    if (!input.is(Kind::Dict)) throw Failure(concat("items wants a dict, not a value of type ", type_name(input)));
    for (const auto& [key, value] : input.dict().items()) out.push_back(Value::tuple({key, value}));
  }
  return out;
}

Value join(Interpreter& interpreter, const Value& input, const Args& args) {
  Bound bound("join", args, {"d", "attribute"});
  const Value separator = bound.get(0, Value::own(""));
  Values items = iterate(input);
  if (bound.has_value(1)) {
    for (Value& item : items) item = look_up(item, bound[1]);
  }
  const bool markup =
      interpreter.autoescape() &&
      (separator.safe() || std::any_of(items.begin(), items.end(), [](const Value& v) { return v.safe(); }));
  std::vector<Text> parts;
  for (const Value& item : items) {
    parts.push_back(markup ? escape_html(item) : str(item));
    Budget::spend_text(parts.back().size());
  }
  return Value(strings::join(markup ? escape_html(separator) : str(separator), parts), markup);
}

Value length_of(Interpreter&, const Value& input, const Args& args) {
  Bound bound("length", args, {});
  return Value(length(input));
}

Value list(Interpreter&, const Value& input, const Args& args) {
  Bound bound("list", args, {});
  return Value::list(iterate(input));
}

template <bool largest>
Value extreme(Interpreter&, const Value& input, const Args& args) {
  Bound bound(largest ? "max" : "min", args, {"case_sensitive", "attribute"});
  const Values items = iterate(input);
  if (items.empty()) return Value::undefined("there is no smallest or largest item: the sequence is empty");
  const auto key = [&](const Value& v) {
    return sort_key(look_up(v, bound.get(1, Value::none())), bound.truth(0, false));
  };
  std::size_t best = 0;
  Value best_key = key(items[0]);
  for (std::size_t i = 1; i < items.size(); ++i) {
    Value k = key(items[i]);
    if (largest ? less(best_key, k) : less(k, best_key)) {
      best = i;
      best_key = std::move(k);
    }
  }
  return items[best];
}

Value sum(Interpreter&, const Value& input, const Args& args) {
  Bound bound("sum", args, {"attribute", "start"});
  Value total = bound.get(1, Value(0));
  if (total.is_string()) throw Failure("sum does not join strings", "use join");
  for (const Value& item : iterate(input)) {
    total = apply(BinaryOperator::Add, total, look_up(item, bound.get(0, Value::none())));
  }
  return total;
}

Bound bind_unique(const Args& args) { return {"unique", args, {"case_sensitive", "attribute"}}; }

Values unique(Interpreter&, const Value& input, const Args& args) {
  const Bound bound = bind_unique(args);
  Dict seen;
  Values out;
  for (Value& item : iterate(input)) {
    Value key = sort_key(look_up(item, bound.get(1, Value::none())), bound.truth(0, false));
    if (seen.find(key) != nullptr) continue;
    seen.set(std::move(key), Value::none());
    out.push_back(std::move(item));
  }
  return out;
}

}  // namespace

FilterFunction find_sequence_filter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> filters = {
      {"batch", generator<batch, bind_batch>},
      {"count", length_of},
      {"dictsort", dict_sort},
      {"first", first},
      {"groupby", group_by},
      {"items", generator<items_of, bind_items>},
      {"join", join},
      {"last", last},
      {"length", length_of},
      {"list", list},
      {"max", extreme<true>},
      {"min", extreme<false>},
      {"reverse", reverse},
      {"slice", generator<slice, bind_slice>},
      {"sort", sort},
      {"sum", sum},
      {"unique", generator<unique, bind_unique>},
  };
  const auto found = filters.find(name);
  return found == filters.end() ? nullptr : found->second;
}

}  // namespace jinja
