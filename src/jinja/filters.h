// Filters (`x | upper`) and tests (`x is defined`) by name.
#pragma once

#include <string_view>

#include "jinja/object.h"
#include "jinja/value.h"

namespace jinja {

using FilterFunction = Value (*)(Interpreter&, const Value& input, const Args& args);
using TestFunction = bool (*)(Interpreter&, const Value& input, const Args& args);

// nullptr if there is none of that name.
FilterFunction find_filter(std::string_view name);
TestFunction find_test(std::string_view name);

// What to say where there is none.
constexpr std::string_view expected_filter = "expected one such as default, join, tojson or trim";
constexpr std::string_view expected_test = "expected one such as defined, none, string or mapping";

// Parts of find_filter's table, by what the filters work on.
FilterFunction find_text_filter(std::string_view name);
FilterFunction find_sequence_filter(std::string_view name);
FilterFunction find_selection_filter(std::string_view name);

// For filters that are generators in Python: what `step` makes of the input, asked when somebody wants the items.
using Step = Values (*)(Interpreter&, const Value& input, const Args& args);
Value later(Step step, Interpreter& interpreter, const Value& input, const Args& args);

template <Step step>
Value generator(Interpreter& interpreter, const Value& input, const Args& args) {
  return later(step, interpreter, input, args);
}

// The same where the arguments fail at once if there are too many or too few.
template <Step step, Bound (*bind)(const Args&)>
Value generator(Interpreter& interpreter, const Value& input, const Args& args) {
  bind(args);
  return later(step, interpreter, input, args);
}

// Follows "a.b.0" from item to item; `path` may be an integer or none.
Value look_up(const Value& item, const Value& path, const Value* fallback = nullptr);
// A string in lower case, unless case counts; anything else itself.
Value sort_key(const Value& value, bool case_sensitive);

}  // namespace jinja
