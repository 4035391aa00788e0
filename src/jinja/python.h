// How Python prints values: str(), repr(), json.dumps() and numbers; and what can be gone through or measured.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "jinja/value.h"

namespace jinja {

std::string type_name(const Value& value);

// str(): a string stays itself, provenance included; everything else is computed, hence input.
Text str(const Value& value);
std::string repr(const Value& value);
std::string ascii(const Value& value);  // repr() with all that is not ASCII escaped
std::string repr(std::string_view s);
std::string repr(double x);
std::string repr(Int i);

// A string's value as markup: escaped for HTML unless it is safe already.
Text escape_html(const Value& value);
Text escape_html(const Text& text);

struct JsonStyle {
  bool ascii = false;                 // escape everything beyond ASCII
  std::optional<std::string> indent;  // one level's; a line per element if present
  std::optional<std::string> item_separator, key_separator;
  bool sort_keys = false;
};
// json.dumps(). A Failure on what JSON cannot say.
std::string to_json(const Value& value, const JsonStyle& style = {});

// The elements a `for` goes through: of a list, the keys of a dict, the characters of a string; absent if Python cannot
// iterate over the value. An iterator is used up by it.
std::optional<Values> try_iterate(const Value& value);
Values iterate(const Value& value);  // a Failure instead of absence
bool is_iterable(const Value& value);
// len(); absent where Python has none.
std::optional<std::size_t> try_length(const Value& value);
std::size_t length(const Value& value);

// The number as an index or a count; a Failure, naming what it is for, if the value is not an integer.
Int as_integer(const Value& value, std::string_view what);

}  // namespace jinja
