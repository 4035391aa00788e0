// Python's two ways to format: "%s: %d" % values and "{}: {:d}".format(values).
#pragma once

#include "jinja/object.h"
#include "jinja/value.h"

namespace jinja {

// `values`: a tuple, a dict (for %(name)s) or one value.
Value format_percent(const Value& format, const Value& values);
Value format_braces(const Value& format, const Args& args);
// format(value, spec): Python's mini-language for one value.
Text format_value(const Value& value, std::string_view spec);

// int(x); a Failure if x is not finite.
Int truncate(double x);
// A float as C's %e, %f or %g prints it (in lower case), without the locale.
std::string format_float(double x, char kind, int precision);
// Python's round(x, digits) for floats: halves to even of the exact decimal value.
double round_to(double x, int digits);

}  // namespace jinja
