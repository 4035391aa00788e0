#include <map>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/filters.h"
#include "jinja/interpreter.h"
#include "jinja/python.h"

namespace jinja {
namespace {

// The arguments without the first n, which named what to apply.
Args after(const Args& args, std::size_t n) {
  Args rest;
  rest.positional.assign(args.positional.begin() + static_cast<std::ptrdiff_t>(n), args.positional.end());
  rest.named = args.named;
  return rest;
}

std::string name_at(const Args& args, std::size_t i, std::string_view filter) {
  if (!args.positional[i].is_string()) throw Failure(concat(filter, " wants a name as a string"));
  return args.positional[i].text().bytes();
}

Values map(Interpreter& interpreter, const Value& input, const Args& args) {
  Values out;
  if (!truth(input)) return out;
  if (args.positional.empty()) {
    Bound bound("map", args, {"attribute", "default"}, 1);
    const Value* fallback = bound.has(1) ? &bound[1] : nullptr;
    for (const Value& item : iterate(input)) out.push_back(look_up(item, bound[0], fallback));
  } else {
    const Args rest = after(args, 1);
    for (const Value& item : iterate(input)) out.push_back(interpreter.filter(name_at(args, 0, "map"), item, rest));
  }
  return out;
}

// `wanted`: whether items that pass the test stay or go; `by_attribute`: the first argument says what is tested.
template <bool wanted, bool by_attribute>
Values select(Interpreter& interpreter, const Value& input, const Args& args) {
  if (!truth(input)) return {};
  constexpr std::size_t test_at = by_attribute ? 1 : 0;
  if (args.positional.size() < test_at) throw Failure("the filter lacks the name of an attribute");
  const Value path = by_attribute ? args.positional[0] : Value::none();
  const bool has_test = args.positional.size() > test_at;
  const Args rest = has_test ? after(args, test_at + 1) : Args();
  Values out;
  for (Value& item : iterate(input)) {
    const Value tested = look_up(item, path);
    if ((has_test ? interpreter.test(name_at(args, test_at, "the filter"), tested, rest) : truth(tested)) == wanted)
      out.push_back(std::move(item));
  }
  return out;
}

}  // namespace

FilterFunction find_selection_filter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> filters = {
      {"map", generator<map>},
      {"reject", generator<select<false, false>>},
      {"rejectattr", generator<select<false, true>>},
      {"select", generator<select<true, false>>},
      {"selectattr", generator<select<true, true>>},
  };
  const auto found = filters.find(name);
  return found == filters.end() ? nullptr : found->second;
}

}  // namespace jinja
