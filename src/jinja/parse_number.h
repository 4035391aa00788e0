// Numbers out of strings, as Python's int() and float() read them; absent where those refuse.
#pragma once

#include <optional>
#include <string_view>

#include "jinja/value.h"

namespace jinja {

// `base`: 2 to 36, or 0 for the one that a prefix names. An integer beyond 128 bits is a Failure.
std::optional<Int> parse_integer(std::string_view s, Int base);
std::optional<double> parse_float(std::string_view s);

}  // namespace jinja
