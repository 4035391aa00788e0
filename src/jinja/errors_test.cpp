// What is wrong with a template: each error names the line and the column, says what is there, and what was expected.
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "jinja/jinja.h"

namespace jinja {
namespace {

struct WrongTemplate {
  const char* source;  // which follows a first line and two spaces
  const char* error;   // without the template's name
};

// clang-format off
constexpr WrongTemplate wrong_templates[] = {
    {"{{ 1 + }}", "2:10: unexpected }}; expected an expression"},
    {"{{ (1 }}", "2:9: unexpected }; expected )"},
    {"{{ [1, 2 }}", "2:12: unexpected }; expected ]"},
    {"{{ {'a' 1} }}", "2:11: unexpected '1'; expected ':'"},
    {"{{ a. }}", "2:9: unexpected }}; expected a name"},
    {"{{ | upper }}", "2:6: unexpected '|'; expected an expression"},
    {"{{ a | }}", "2:10: unexpected }}; expected a name"},
    {"{{ a is }}", "2:11: unexpected }}; expected a name"},
    {"{{ f(1 }}", "2:10: unexpected }; expected )"},
    {"{{ f(a=1, 2) }}", "2:13: the arguments are in the wrong order; expected positional, named, *list, **dict"},
    {"{{ }}", "2:6: unexpected }}; expected an expression"},
    {"{{ 1 2 }}", "2:8: unexpected '2'; expected }}"},
    {"{{ 'a", "2:6: a string is not closed; write its quote again at its end"},
    {"{{ a $ b }}", "2:8: the character '$' has no meaning in a tag; expected a name, a number, a string or an operator"},
    {"{{ a", "2:3: a tag is not closed; write }} at its end"},
    {"{% if a %}x", "2:6: the tag if is not closed; write {% elif %} or {% else %} or {% endif %}"},
    {"{% if %}x{% endif %}", "2:9: unexpected %}; expected an expression"},
    {"{% for x in a %}x", "2:6: the tag for is not closed; write {% endfor %} or {% else %}"},
    {"{% for x a %}{% endfor %}", "2:12: unexpected 'a'; expected 'in'"},
    {"{% for 1 in a %}{% endfor %}", "2:10: unexpected '1'; expected a name"},
    {"{% for x in %}{% endfor %}", "2:15: unexpected %}; expected an expression"},
    {"{% set = 1 %}", "2:10: unexpected '='; expected a name"},
    {"{% set x 1 %}", "2:12: unexpected '1'; expected %}"},
    {"{% set true = 1 %}", "2:10: nothing can be stored in true; expected a name"},
    {"{% set x %}y", "2:6: the tag set is not closed; write {% endset %}"},
    {"{% macro %}{% endmacro %}", "2:12: unexpected %}; expected a name"},
    {"{% macro m %}{% endmacro %}", "2:14: unexpected %}; expected '('"},
    {"{% macro m(a=1, b) %}{% endmacro %}", "2:19: a parameter without a default follows one that has one; swap them"},
    {"{% macro m() %}", "2:6: the tag macro is not closed; write {% endmacro %}"},
    {"{% call m %}{% endcall %}", "2:6: a call block calls nothing; expected a call"},
    {"{% call(x) m() %}", "2:6: the tag call is not closed; write {% endcall %}"},
    {"{% filter %}{% endfilter %}", "2:13: unexpected %}; expected a name"},
    {"{% filter upper %}", "2:6: the tag filter is not closed; write {% endfilter %}"},
    {"{% nothing %}", "2:6: there is no tag nothing; expected one such as if, for, set or macro"},
    {"{% endif %}", "2:6: the tag endif belongs to no block; expected one that opens it before"},
    {"{% else %}", "2:6: the tag else belongs to no block; expected one that opens it before"},
    {"{% break %}", "2:6: the tag break stands outside a loop; expected {% for %} around it"},
    {"{% block b %}{% endblock %}{% block b %}{% endblock %}", "2:33: there is a block b already; give each block a name of its own"},
    {"{% include %}", "2:14: unexpected %}; expected an expression"},
    {"{% import 'x' as y %}", "2:6: the tag import is not part of the language here; put everything into one template"},
    {"{% with a 1 %}{% endwith %}", "2:13: unexpected '1'; expected '='"},
    {"{% generation %}", "2:6: the tag generation is not closed; write {% endgeneration %}"},
    {"{# open", "2:3: a comment is not closed; write #} at its end"},
    {"{% raw %}x", "2:3: a raw block is not closed; write {% endraw %} at its end"},
    {"{% if a %}{% endfor %}", "2:16: the tag endfor does not belong to the tag if; expected {% elif %} or {% else %} or {% endif %}"},
    {"{{ a[1:2, 3] }}", "2:7: a slice stands among several indices; use one slice alone"},
    {"{{ '\\xZ' }}", "2:9: an escape in a string wants 2 hexadecimal digits"},
    {"{{ 99999999999999999999999999999999999999999 }}", "2:6: an integer does not fit into 128 bits; use a smaller number or a float"},
    {"{{ a is odd is even }}", "2:15: tests cannot follow each other; join them by and"},
    {"{{ 'a' | nothing }}", "2:12: there is no filter named nothing; expected one such as default, join, tojson or trim"},
    {"{{ 'a' is nothing }}", "2:10: there is no test named nothing; expected one such as defined, none, string or mapping"},
    {"{{ missing.x }}", "2:13: missing is undefined"},
    {"{{ missing() }}", "2:13: missing is undefined"},
    {"{{ 1 / 0 }}", "2:8: division by zero; check the divisor first"},
    {"{{ 1 + 'a' }}", "2:8: values of the types int and str cannot be combined by +; convert one of them first"},
    {"{{ 'a' < 1 }}", "2:10: a value of type str cannot be ordered with one of type int; compare values of one type"},
    {"{{ [] + {} }}", "2:9: values of the types list and dict cannot be combined by +; convert one of them first"},
    {"{{ 5 | join }}", "2:10: a value of type int cannot be iterated over; give it a list"},
    {"{{ 'a'.nothing() }}", "2:17: a value of type str has no attribute 'nothing'"},
    {"{{ 'a' | upper(1) }}", "2:12: the filter was given 1 arguments, but takes none"},
    {"{{ 'a' | replace('b') }}", "2:12: replace lacks its argument new; give it"},
    {"{{ {[]: 1} }}", "2:6: a list cannot be the key of a dict; use a string"},
    {"{% for x in 5 %}{% endfor %}", "2:6: a value of type int cannot be iterated over; give it a list"},
    {"{% for a, b in [1] %}{% endfor %}", "2:6: a value of type int cannot be iterated over; give it a list"},
    {"{% set a, b = [1, 2, 3] %}", "2:6: 3 values cannot be taken apart into 2 names; write as many names as there are values"},
    {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "2:37: the macro m takes 1 arguments, but was given 2"},
    {"{% macro m(a) %}{% endmacro %}{{ m(c=2) }}", "2:37: the macro m has no parameter named c"},
    {"{{ 'ab'.index('c') }}", "2:16: the string to find, 'c', is not there; ask by in first"},
    {"{{ '%d' % 'x' }}", "2:11: a format wants a number, but was given a value of type str"},
    {"{{ '{}'.format() }}", "2:17: a format has more places than arguments; give it more"},
    {"{{ 2 | round(method='up') }}", "2:10: round knows no such method; expected common, ceil or floor"},
    {"{{ range(10 ** 9) }}", "2:11: range has more than 100000 elements; loop over fewer"},
    {"{{ {1, 2} }}", "2:8: unexpected ','; expected ':'"},
    {"{{ -'a' }}", "2:6: a value of type str cannot be negated; expected a number"},
    {"{{ 1 in 'a' }}", "2:8: a value of type int cannot be looked for in a string; expected a string"},
    {"{{ 'ab'[::0] }}", "2:10: the step of a slice is zero; expected a positive or a negative one"},
    {"{{ 5() }}", "2:7: a value of type int cannot be called; expected a function, a macro or a method"},
    {"{{ 'a' | abs }}", "2:12: abs was given a value of type str; expected a number"},
    {"{{ 'a'.strip(chars='b') }}", "2:15: strip does not take chars by its name; give it by its place"},
    {"{{ raise_exception('roles must alternate') }}", "2:21: the template refuses this: roles must alternate"},
};
// clang-format on

class JinjaError : public testing::TestWithParam<WrongTemplate> {};

TEST_P(JinjaError, NamesThePlaceAndWhatWasExpected) {
  try {
    Template::parse(std::string("line\n  ") + GetParam().source, "t").render({{"a", 1}});
    ADD_FAILURE() << GetParam().source << " was rendered";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.what(), std::string("t:") + GetParam().error) << GetParam().source;
  }
}

INSTANTIATE_TEST_SUITE_P(Each, JinjaError, testing::ValuesIn(wrong_templates));

}  // namespace
}  // namespace jinja
