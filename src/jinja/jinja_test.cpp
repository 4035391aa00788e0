#include "jinja/jinja.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <limits>

#include "base/error.h"

namespace jinja {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

std::string render(std::string_view source, const ordered_json& context = ordered_json::object(),
                   const Options& options = {}) {
  return Template::parse(source, "t").render(context, options).bytes();
}

std::string refusal(std::string_view source, const ordered_json& context = ordered_json::object(),
                    const Options& options = {}) {
  try {
    render(source, context, options);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "rendered";
}

// Trusted stretches in brackets.
std::string marked(std::string_view source, const ordered_json& context) {
  std::string out;
  for (const Fragment& f : Template::parse(source, "t").render(context).fragments()) {
    out += f.from_template ? "[" + f.text + "]" : f.text;
  }
  return out;
}

const ordered_json user = {{"u", "<x>"}, {"n", 5}, {"l", {"a", "b"}}, {"d", {{"k", "v"}}}};

TEST(JinjaProvenance, HoldsThroughConcatenation) {
  EXPECT_EQ(marked("a{{ u }}b", user), "[a]<x>[b]");
  EXPECT_EQ(marked("{{ 'a' + u + 'b' }}{{ 'c' ~ u ~ 5 }}", user), "[a]<x>[bc]<x>5");
  EXPECT_EQ(marked("{{ 'ab' * 2 }}{{ u * 2 }}", user), "[abab]<x><x>");
  EXPECT_EQ(marked("{% set s %}a{{ u }}{% endset %}{{ s }}", user), "[a]<x>");
  EXPECT_EQ(marked("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(u) }}{{ m('q') }}", user), "[<]<x>[><q>]");
}

TEST(JinjaProvenance, HoldsCharacterByCharacterThroughMethodsAndFilters) {
  EXPECT_EQ(marked("{{ ('a' ~ u ~ 'b')[1:-1] }}{{ ('a' ~ u)[::-1] }}", user), "<x>>x<[a]");
  EXPECT_EQ(marked("{{ ('<x>' ~ u).replace('<', '(') }}", user), "[(x>(]x>");
  EXPECT_EQ(marked("{{ ('--' ~ u ~ '--').strip('-') }}{{ ' a '.strip() }}", user), "<x>[a]");
  EXPECT_EQ(marked("{{ ('a' ~ u ~ 'é') | upper }}", user), "[A]<X>[É]");
  EXPECT_EQ(marked("{{ ', '.join([u, 'a']) }}{{ [u, 'a'] | join('-') }}", user), "<x>[, a]<x>[-a]");
  EXPECT_EQ(marked("{{ ('a,' ~ u ~ ',b').split(',') | join }}", user), "[a]<x>[b]");
  EXPECT_EQ(marked("{{ '%s|%s' % (u, 'a') }}{{ '{}|{}'.format(u, 'a') }}", user), "<x>[|a]<x>[|a]");
  EXPECT_EQ(marked("{{ ('a' ~ u) | title }}{{ ('a' ~ u) | indent(2, true) }}", user), "[A]<X>[  a]<x>");
  EXPECT_EQ(marked("{% for c in 'a' ~ u %}{{ c }}{% endfor %}{{ ('a' ~ u) | list | join }}", user), "[a]<x>[a]<x>");
  EXPECT_EQ(marked("{{ ('a' ~ u) | trim | string | safe | default('q') }}", user), "[a]<x>");
}

TEST(JinjaProvenance, WhatIsComputedFromInputIsInput) {
  EXPECT_EQ(marked("{{ d | tojson }}{{ d | string }}{{ n }}{{ ['<|a|>'] }}", user),
            "{\"k\": \"v\"}{'k': 'v'}5['<|a|>']");
  EXPECT_EQ(marked("{{ d.keys() | first }}{% for k, v in d.items() %}{{ k ~ v }}{% endfor %}", user), "kkv");
}

TEST(JinjaProvenance, ACallerMayTrustPartsOfTheContext) {
  Text text = Text::from_input("a<t>b");
  text.trust(1, 4);
  Dict context;
  context.set("s", Value(text));
  const auto fragments = Template::parse("{{ s.upper() ~ s[1:2] }}", "t").render(Value::dict(context)).fragments();
  EXPECT_EQ(fragments, (std::vector<Fragment>{{"A", false}, {"<T>", true}, {"B", false}, {"<", true}}));
}

TEST(JinjaText, AppendsRangesInTheMiddle) {
  Text text = Text::from_template("abc");
  text.append(Text::from_input("def"));
  text.append("ghi", true);
  EXPECT_EQ(text.trusted(), (std::vector<Text::Range>{{0, 3}, {6, 9}}));
  Text part;
  part.append(text, 2, 5);
  EXPECT_EQ(part.fragments(), (std::vector<Fragment>{{"c", true}, {"def", false}, {"g", true}}));
}

TEST(JinjaErrors, NameTemplateLineColumnAndWhatWasExpected) {
  EXPECT_EQ(refusal("a\n  {{ 1 + }}"), "t:2:10: unexpected }}; expected an expression");
  EXPECT_EQ(refusal("{% for x y %}"), "t:1:10: unexpected 'y'; expected 'in'");
  EXPECT_EQ(refusal("\n{% if a %}x"), "t:2:4: the tag if is not closed; write {% elif %} or {% else %} or {% endif %}");
  EXPECT_EQ(refusal("{{ a\n.b.c }}"), "t:2:1: a is undefined");
  EXPECT_EQ(refusal("{% set x = 1 %}\n{{ x | nothing }}"),
            "t:2:8: there is no filter named nothing; expected one such as default, join, tojson or trim");
  EXPECT_EQ(refusal("{{ raise_exception('one system message only') }}"),
            "t:1:19: the template refuses this: one system message only");
  EXPECT_EQ(refusal("{% macro m() %}\n{{ 1 / 0 }}{% endmacro %}{{ m() }}"),
            "t:2:6: division by zero; check the divisor first");
  EXPECT_THAT(refusal("{{ 'a"), HasSubstr("t:1:4: a string is not closed"));
  EXPECT_THAT(refusal("{% import 'x' as y %}"), HasSubstr("is not part of the language"));
  EXPECT_THAT(refusal("x", ordered_json::array()), HasSubstr("context is not a dict"));
  // Whole characters, never one byte of them.
  EXPECT_EQ(refusal("{{ '%é' % 1 }}"), "t:1:10: a format has the unknown conversion %é");
  EXPECT_THAT(refusal("{{ strftime_now('%é') }}"), HasSubstr("knows no % before such a character"));
}

TEST(JinjaBounds, Steps) {
  Options few;
  few.max_steps = 300'000;
  const auto refused = [&](const std::string& source) { return refusal(source, ordered_json::object(), few); };
  EXPECT_THAT(refused("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
              HasSubstr("steps"));
  EXPECT_THAT(
      refused("{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"),
      HasSubstr("steps"));
  // A list in which each list holds the one before twice is small, but its text is not; nor is comparing two of them.
  const std::string twice =
      "{% set ns = namespace(x=[], y=[]) %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
  EXPECT_THAT(refused(twice + "{{ ns.x }}"), HasSubstr("steps"));
  EXPECT_THAT(refused(twice + "{{ ns.x | tojson }}"), HasSubstr("steps"));
  EXPECT_THAT(refused(twice + "{{ ns.x == ns.y }}"), HasSubstr("steps"));
  // What takes memory or time in proportion to a text or a dict costs as much.
  const std::string large =
      "{% set s = 'ab' * 100000 %}{% set t = 'ab' * 100000 %}{% set d = {}.fromkeys(range(9999)) %}"
      "{% set ns = namespace(kept=[]) %}{% for a in range(500) %}";
  EXPECT_EQ(refused(large + "{% set x = s %}{% endfor %}"), "rendered");  // the loop itself is affordable
  for (const char* work :
       {"{% set ns.kept = dict(d) %}", "{% if s == t %}{% endif %}", "{% if s < t %}{% endif %}",
        "{% if s | length %}{% endif %}", "{% set x = s | safe %}", "{% set x = s.removeprefix('a') %}",
        "{% set x = {s: 1} %}", "{% if 'x' in s %}{% endif %}"}) {
    EXPECT_THAT(refused(large + work + "{% endfor %}"), HasSubstr("steps")) << work;
  }
}

TEST(JinjaBounds, Size) {
  Options small;
  small.max_output = 1000;
  EXPECT_THAT(refusal("{% for a in range(1001) %}x{% endfor %}", ordered_json::object(), small),
              HasSubstr("more than 1000 bytes"));
  EXPECT_THAT(refusal("{{ 'a' * 1001 }}", ordered_json::object(), small), HasSubstr("longer than the 1000"));
  for (const char* large :
       {"{{ 'a' * 10 ** 30 }}", "{{ [1] * 10 ** 15 }}", "{{ '%999999999d' % 1 }}", "{{ '{:999999999}'.format(1) }}",
        "{{ 'a'.center(10 ** 12) }}", "{{ 'a'.zfill(10 ** 12) }}", "{{ '\\t'.expandtabs(10 ** 12) }}",
        "{{ range(10 ** 12) }}", "{{ 'x' | indent(10 ** 12) }}", "{{ [1] | batch(10 ** 12, 0) | list }}",
        "{{ [] | slice(10 ** 12) | list }}", "{{ 10 ** 100 }}", "{{ '%.999999999f' % 1 }}",
        "{{ 1.5 | round(10 ** 12) ~ 'a' * 10 ** 12 }}", "{{ [1] | tojson(indent='x' * 60000000) }}",
        "{{ 'a'.join('b' * 9000000) }}"}) {
    EXPECT_NE(refusal(large), "rendered") << large;
  }
}

TEST(JinjaBounds, Depth) {
  EXPECT_THAT(refusal("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("too deep"));
  EXPECT_THAT(refusal("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"), HasSubstr("too deep"));
  EXPECT_THAT(refusal("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}"), HasSubstr("nested"));
  EXPECT_THAT(refusal("{{ " + std::string(5000, '[') + std::string(5000, ']') + " }}"), HasSubstr("nested"));
  EXPECT_THAT(refusal("{{ " + std::string(5000, '-') + "1 }}"), HasSubstr("nested"));
  std::string sum = "1", nots, ifs, ends, filters, attributes;
  for (int i = 0; i < 5000; ++i) {
    sum += " + 1";
    nots += "not ";
    ifs += "{% if 1 %}";
    ends += "{% endif %}";
    filters += "|string";
    attributes += ".a";
  }
  for (const std::string& source : {"{{ " + sum + " }}", "{{ " + nots + "1 }}", ifs + ends, "{{ 1" + filters + " }}",
                                    "{{ a" + attributes + " }}"}) {
    EXPECT_THAT(refusal(source), HasSubstr("nested"));
  }
  for (const char* wrap : {"[ns.x]", "{'a': ns.x}", "(ns.x,)", "[ns.x] | reverse", "{'a': ns.x}.items()",
                           "cycler(ns.x)", "joiner(ns.x)", "[ns.x].copy", "[ns.x] | groupby(0)"}) {
    EXPECT_THAT(refusal(std::string("{% set ns = namespace(x=[1]) %}{% for a in range(90000) %}{% set ns.x = ") + wrap +
                        " %}{% endfor %}"),
                testing::AnyOf(HasSubstr("nested"), HasSubstr("type")))
        << wrap;
  }
  ordered_json deep = 1;
  for (int i = 0; i < 1000; ++i) deep = ordered_json::array({deep});
  EXPECT_THAT(refusal("x", {{"deep", deep}}), HasSubstr("nested"));
}

// Values that come to hold themselves leak nothing (which the address sanitizer would tell) and do not go on for ever.
TEST(JinjaBounds, CyclesEnd) {
  EXPECT_EQ(
      render(
          "{% set ns = namespace() %}{% set ns.a = ns %}{% set ns.b = [ns] %}{% macro m() %}{{ m }}{% endmacro %}"
          "{% set ns.m = m %}{% for x in [1] %}{{ loop.changed(loop) }}{% set ns.l = loop %}{% set ns.c = loop.cycle %}"
          "{% macro k() %}{{ x }}{% endmacro %}{% set ns.k = k %}{% endfor %}{{ ns.c(5) }}{{ ns.k() }}{{ ns.l.index "
          "}}"),
      "True511");
  EXPECT_EQ(
      render("{% set ns = namespace() %}{% for x in [1] recursive %}{% set ns.l = loop %}{% endfor %}{% set k = ns.l %}"
             "{% for x in [1, 2] if x == 2 %}{{ x }}{% set ns.m = loop %}{% endfor %}{% set n = ns.m %}"),
      "2");
  // A condition that asks how long its own loop is.
  EXPECT_THAT(
      refusal(
          "{% set ns = namespace(n=0) %}{% macro f() %}{% set ns.n = 1 %}{{ ns.l.length }}{% endmacro %}"
          "{% for x in [1, 2] if x == 1 or (ns.n == 0 and f()) %}{% set ns.l = loop %}{{ loop.length }}{% endfor %}"),
      HasSubstr("condition"));
  EXPECT_THAT(refusal("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}"), HasSubstr("deep"));
  EXPECT_THAT(refusal("{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}"), HasSubstr("deep"));
}

TEST(JinjaBounds, CostIsLinearInTheSource) {
  // Processor time of the fastest of three, since other programs may be running.
  const auto ticks = [](const std::string& source) {
    std::clock_t best = std::numeric_limits<std::clock_t>::max();
    for (int i = 0; i < 3; ++i) {
      const std::clock_t start = std::clock();
      Template::parse(source, "t");
      best = std::min(best, std::clock() - start);
    }
    return static_cast<double>(best);
  };
  for (const char* piece : {"{{ a.b[1] | default('x') }} text\n", "{% if a %}\n  {% endif %}\n", "{# c #} \n",
                            "{ { {% raw %}{%{% endraw %}", "{{ 'a' ~ 1 ~ {'a': [1, 2]} }}", "\n\n   \n"}) {
    std::string source, four_times;
    while (source.size() < 100'000) source += piece;
    for (int i = 0; i < 4; ++i) four_times += source;
    EXPECT_LT(ticks(four_times), 8 * ticks(source) + CLOCKS_PER_SEC / 50.0) << piece;
  }
}

TEST(JinjaOptions, AutoescapeAndInclude) {
  const Template part = Template::parse("<i>{{ x }}</i>{% set y = 2 %}", "part");
  const Template broken = Template::parse("\n{{ 1 / 0 }}", "broken");
  Options options;
  options.autoescape = true;
  options.loader = [&](std::string_view name) { return name == "part" ? &part : name == "broken" ? &broken : nullptr; };
  const ordered_json context = {{"x", "<&>"}};
  EXPECT_EQ(render("{% include 'part' %}{{ x | safe }}{{ y is defined }}", context, options),
            "<i>&lt;&amp;&gt;</i><&>False");
  EXPECT_EQ(render("{% for x in [1] %}{% include 'part' %}{% include 'part' without context %}{% endfor %}", context,
                   options),
            "<i>1</i><i>&lt;&amp;&gt;</i>");
  EXPECT_EQ(render("{% include ['no', 'part'] %}{% include 'no' ignore missing %}", context, options),
            "<i>&lt;&amp;&gt;</i>");
  EXPECT_THAT(refusal("{% include 'no' %}", context, options), HasSubstr("t:1:4: there is no template 'no'"));
  EXPECT_THAT(refusal("{% include 'broken' %}", context, options),
              HasSubstr("broken:2:6: division by zero; check the divisor first"));
}

TEST(JinjaOptions, TimeIsGiven) {
  using namespace std::chrono;
  Options options;
  options.now = local_days(2024y / December / 30) + hours(13);
  EXPECT_EQ(render("{{ strftime_now('%d %B %Y %I%p %G-W%V') }}", ordered_json::object(), options),
            "30 December 2024 01PM 2025-W01");
  EXPECT_THAT(refusal("{{ strftime_now('%Q') }}"), HasSubstr("%Q"));
  EXPECT_THAT(render("{{ strftime_now('%Y') }}"), testing::MatchesRegex("20[0-9][0-9]"));
}

TEST(JinjaMentions, NamesThatExpressionsRead) {
  const Template t =
      Template::parse("{% if xml_tools %}{{ m.tool_calls }}{{ m['name'] }}{% endif %}{# other #} text", "t");
  EXPECT_TRUE(t.mentions("xml_tools"));
  EXPECT_TRUE(t.mentions("tool_calls"));
  EXPECT_TRUE(t.mentions("name"));
  EXPECT_FALSE(t.mentions("other"));
  EXPECT_FALSE(t.mentions("text"));
  EXPECT_FALSE(t.mentions("tools"));
}

TEST(JinjaValues, DictsFindManyKeys) {
  Dict dict;
  for (int i = 0; i < 1000; ++i) dict.set(Value(i), Value(i * i));
  for (int i = 0; i < 1000; ++i) dict.set(Value(static_cast<double>(i)), Value(i + 1));
  EXPECT_EQ(dict.size(), 1000u);
  for (int i = 0; i < 1000; ++i) {
    const Value* found = dict.find(Value(i));
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->integer(), i + 1);
  }
  EXPECT_EQ(dict.find("x"), nullptr);
  EXPECT_EQ(dict.find(Value(1000)), nullptr);
}

}  // namespace
}  // namespace jinja
