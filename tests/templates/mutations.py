"""Templates by the thousand, the same ones every time: those of the corpus, of the random ones and of real models, with
tokens changed, swapped, left out, doubled and spliced. What a fuzzer makes, but near enough to templates that many
of them still render."""
import functools
import random
import re

import typed_expressions

TOKEN = re.compile(r"""(?P<tag>{[%{#][-+]?|[-+]?[%}#]})|(?P<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")|(?P<number>\d[\d_.]*)
                       |(?P<name>[^\W\d]\w*)|(?P<operator>\*\*|//|[=!<>]=|[-+*/%~|.,:;<>=()\[\]])|(?P<space>\s+)|(?P<other>.)""",
                   re.VERBOSE)
# What the corpora have little of, and where implementations are apt to differ.
EXTRA = ["{{", "}}", "{%", "%}", "{%-", "-%}", "{{-", "-}}", "{%+", "+%}", "{#", "#}", "{% raw %}", "{% endraw %}", "0", "-1", "1", "2",
         "0.5", "1e3", "''", "'a'", "'\\n'", "none", "true", "false", "missing", "loop", "[]", "{}", "()", "(1, 2)", "[::-1]", "[1:]",
         "[:-1]", "[-1]", "[0]", "not", "in", "is", "is not", "and", "or", "if", "else", "elif", "recursive", "*", "**", "~", "|", ",",
         ".", ":", "=", "==", "(", ")", "\n", "  ", "\t", "é", "日本", "🤖", "\u2028", "\u00a0", "| string", "| list", "| tojson",
         "| length", "| first", "| last", "| sort", "| join", "| upper", "| trim", ".items()", ".strip()", ".split()", ".get('a')",
         "{% set x = 1 %}", "{% if t %}", "{% endif %}", "{% for x in l %}", "{% endfor %}", "{% else %}", "{% break %}",
         "{% continue %}", "{% generation %}", "{% endgeneration %}", "{{ loop.index }}", "{{ loop.changed(x) }}", "{{ caller() }}",
         "{% macro m(a, b=1) %}", "{% endmacro %}", "{{ m(1) }}", "{% call m(1) %}", "{% endcall %}", "{% filter upper %}",
         "{% endfilter %}", "{% set x %}", "{% endset %}", "{% with a = 1 %}", "{% endwith %}", "{% set ns = namespace(a=1) %}",
         "{% set ns.a = 2 %}", "varargs", "kwargs", "*l", "**d"]

# Values of every type, to stand where another did.
VALUES = ["0", "1", "-1", "7", "2.5", "-0.0", "1e300", "10 ** 20", "('inf' | float)", "('nan' | float)", "true", "none", "missing", "''", "'a'",
          "' a b '", "'3'", "'ÀÉ ß'", "'日本🤖'", "'a\\nb\\r\\nc'", "'%s {}'", "('<b>' | safe)", "[]", "[1]", "[3, 1, 2]", "['b', 'A', none]",
          "[[1, 2], [3, 4]]", "[{'a': 1}, {'a': 0}]", "()", "(1, 'x')", "{}", "{'a': 1}", "{1: 'x', 'b': [2]}", "range(3)", "'ab'.items",
          "{'a': 1}.keys()", "{'a': 1}.values()", "{'a': 1}.items()", "([1, 2] | map('string'))", "([1, 2] | reverse)", "namespace(a=1)",
          "namespace", "loop", "s", "l", "d", "u", "users", "html"]
# Around a piece of a template.
BLOCKS = [("{% if true %}", "{% endif %}"), ("{%- for x in [1, 2] -%}", "{%- endfor -%}"), ("{% for x in [] %}x{% else %}", "{% endfor %}"),
          ("{% for l in tree recursive %}{{ loop.depth }}", "{{ loop(l.c) }}{% endfor %}"), ("{% set x %}", "{% endset %}[{{ x }}]"),
          ("{% set x | trim | upper %}", "{% endset %}[{{ x }}]"), ("{% filter replace('a', 'b') %}", "{% endfilter %}"),
          ("{% macro m(a, b=2) %}", "{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }}{{ m(1, 2, 3, c=4) }}"),
          ("{% macro m(a) %}<{{ caller(a) }}>{% endmacro %}{% call(x, y='q') m(l) %}", "{{ y }}{% endcall %}"), ("{% with s = 1 %}", "{% endwith %}"),
          ("{% generation %}", "{% endgeneration %}"), ("{% raw %}", "{% endraw %}"), ("{#", "#}"), ("{% block b %}", "{% endblock %}"),
          ("\n  {%- if l +%}\n  ", "\n  {% endif -%}\n"), ("{% autoescape true %}", "{% endautoescape %}")]
# Of which one may stand for another.
OPERATORS = [("+", "-", "*", "/", "//", "%", "**"), ("==", "!=", "<", "<=", ">", ">="), ("==", "!=", "in"), ("and", "or"), ("+", "~")]


def tokens(source):
    return [(match.lastgroup, match.group()) for match in TOKEN.finditer(source)]


class Mutator:
    """`cases`: (name, template, context), from which all others are made."""

    def __init__(self, cases, seed):
        self.random = random.Random(seed)
        self.cases = [(name, tokens(source), context) for name, source, context in cases]
        self.by_kind = {}
        joined = "\n".join(source for _, source, _ in cases)
        # Without quotes, so that a bracket or a pipe is one.
        self.filters = sorted(set(re.findall(r"\| ?\w+(?:\([^()\n]*\))?", joined)))
        self.methods = sorted(set(re.findall(r"\.\w+\([^()\n]*\)|\[[^\[\]\n]*:[^\[\]\n]*\]", joined)))
        self.tests = sorted(set(re.findall(r"\bis (?:not )?\w+(?:\([^()\n]*\))?", joined)))
        self.expressions = sorted(set(source[3:-3] for _, source, _ in cases if re.fullmatch(r"{{ [^{}%]{1,80} }}", source)))
        for _, parts, _ in self.cases:
            for kind, text in parts:
                self.by_kind.setdefault(kind, {})[text] = None
        self.by_kind = {kind: list(texts) for kind, texts in self.by_kind.items()}

    def any_token(self):
        r = self.random
        if r.random() < 0.5:
            return ("extra", r.choice(EXTRA))
        kind = r.choice(list(self.by_kind))
        return (kind, r.choice(self.by_kind[kind]))

    def any_span(self, parts, longest):
        begin = self.random.randrange(len(parts) + 1)
        return begin, min(len(parts), begin + self.random.randint(1, longest))

    def operands(self, parts):
        return [i for i, (kind, _) in enumerate(parts) if kind in ("name", "number", "string")]

    def change_meaning(self, parts):
        """Changes after which a template is more often than not still one."""
        r = self.random
        operands = self.operands(parts)
        kind = r.randrange(8)
        if kind == 7:
            begin, end = self.any_span(parts, 100) if r.random() < 0.3 else (0, len(parts))
            before, after = r.choice(BLOCKS)
            parts[begin:end] = [("other", before), *parts[begin:end], ("other", after)]
        elif kind == 6:
            other = r.choice(self.cases)[1]
            if len(other) < 200:
                parts[r.choice([0, len(parts)]):0] = other
        elif operands:
            at = r.choice(operands)
            if kind < 2:
                parts[at] = ("other", r.choice(VALUES))
            elif kind == 2:
                parts[at] = ("other", "(" + r.choice(self.expressions) + ")")
            elif kind == 3:
                parts[at] = (parts[at][0], r.choice(self.by_kind[parts[at][0]]))
            else:
                parts[at + 1:at + 1] = [("space", " "), ("other", r.choice([self.filters, self.filters, self.methods, self.tests][r.randrange(4)]))]

    def change_alike(self, parts, context):
        """Parts of expressions for others of the same type, and prints of such expressions between the template's parts."""
        r = self.random
        of = typed_expressions.literals(context)
        kinds = {"string": lambda text: "string", "number": lambda text: "float" if "." in text else "int",
                 "name": lambda text: "bool" if text in ("true", "false") else typed_expressions.kind_of(context.get(text))}
        operands = [(i, kind) for i, (token, text) in enumerate(parts) if token in kinds and (kind := kinds[token](text))]
        operators = [i for i, (token, text) in enumerate(parts) if any(text in group for group in OPERATORS)]
        choice = r.randrange(10)
        if choice < 3 and operands:  # itself, with something done to it
            at, kind = r.choice(operands)
            parts[at] = ("other", "(" + typed_expressions.expression(r, kind, of, part=parts[at][1]) + ")")
        elif choice < 5 and operands:
            at, kind = r.choice(operands)
            parts[at] = ("other", "(" + typed_expressions.expression(r, kind, of) + ")")
        elif choice < 6 and operators:
            at = r.choice(operators)
            parts[at] = ("operator", r.choice(r.choice([group for group in OPERATORS if parts[at][1] in group])))
        else:
            ends = [i + 1 for i, (token, text) in enumerate(parts) if token == "tag" and text[-1] == "}"]
            printed = "{{ " + typed_expressions.expression(r, r.choice(list(typed_expressions.FORMS)), of) + " }}"
            if choice == 9:
                parts[:] = [("other", printed)]
            else:
                parts.insert(r.choice(ends or [0]), ("other", printed))

    def change(self, parts):
        r = self.random
        kind = r.randrange(12)
        at = r.randrange(len(parts) + 1)
        if kind < 4 and at < len(parts):  # for another of its kind
            same = self.by_kind.get(parts[at][0])
            parts[at] = (parts[at][0], r.choice(same)) if same else self.any_token()
        elif kind == 4 and at < len(parts):
            parts[at] = self.any_token()
        elif kind == 5:
            parts[at:at] = [self.any_token()]
        elif kind == 6:
            begin, end = self.any_span(parts, 3)
            del parts[begin:end]
        elif kind == 7:
            begin, end = self.any_span(parts, 8)
            parts[at:at] = parts[begin:end]
        elif kind == 8:
            other = r.randrange(len(parts) + 1)
            if max(at, other) < len(parts):
                parts[at], parts[other] = parts[other], parts[at]
        elif kind == 9:  # the beginning of one, the end of another
            other = r.choice(self.cases)[1]
            parts[at:] = other[r.randrange(len(other) + 1):]
        elif kind == 10:  # a piece of another in the middle
            other = r.choice(self.cases)[1]
            begin, end = self.any_span(other, 12)
            parts[at:at] = other[begin:end]
        elif at < len(parts):  # within a token
            text = parts[at][1]
            i = r.randrange(len(text) + 1)
            parts[at] = ("other", text[:i] + r.choice(["", " ", "\n", "'", "-", "_", "0", "é", "%", "{", "}", "\\"]) + text[i + r.randrange(2):])

    def generate(self, count):
        for i in range(count):
            name, parts, context = self.random.choice(self.cases)
            parts = list(parts)
            alike = functools.partial(self.change_alike, context=context)
            change = self.random.choice([self.change, self.change_meaning, alike, alike, alike])
            for _ in range(self.random.choice([1, 1, 1, 1, 2] if change is alike else [1, 1, 1, 2, 2, 3, 5])):
                change(parts)
            source = "".join(text for _, text in parts)[:20000]
            yield f"mutation {i} of {name[:60]}: {source[:600]!r}", source, context
