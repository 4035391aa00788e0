"""Templates by the thousand, the same ones every time: random expressions and statements over a small context, half of
them meaningful, the other half for both implementations to refuse alike."""
import random

CONTEXT = {"s": "Hello, it's World", "u": "naïve Σς 日本🤖", "e": "", "n": 7, "m": -3, "f": 2.5, "t": True, "nil": None,
           "l": [3, 1, 2], "ls": ["b", "A", "c"], "d": {"b": 1, "a": [1, {"x": None}], "k": "v"},
           "users": [{"name": "Bob", "age": 30}, {"name": "al", "age": 25}, {"name": "Cy", "age": 30}], "html": "<a&'\">"}
NAMES = list(CONTEXT) + ["missing", "x", "loop"]
BINARY = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "sequence", "iterable", "boolean", "true",
         "false", "odd", "even", "lower", "upper", "callable", "divisibleby 2", "eq 1", "in l", "sameas none", "ge(2)", "escaped"]
FILTERS = ["abs", "capitalize", "center(9)", "count", "d('q')", "default(5, true)", "dictsort", "e", "first", "float", "int", "items",
           "join", "join(', ')", "last", "length", "list", "lower", "map('upper')", "map(attribute='name')", "max", "min", "reverse",
           "round", "round(1)", "select", "reject('none')", "selectattr('age', 'gt', 26)", "rejectattr('name')", "sort", "string", "sum",
           "title", "tojson", "trim", "truncate(7)", "unique", "upper", "wordcount", "replace('l', 'L')", "batch(2)", "slice(2)",
           "groupby('age')", "urlencode", "indent", "safe", "xmlattr", "filesizeformat", "format(1)", "attr('x')", "tojson(indent=1)",
           "sort(attribute='age')", "sort(reverse=true)", "max(attribute='name')", "sum(attribute='age')", "striptags_"]
METHODS = ["upper()", "lower()", "title()", "strip()", "lstrip('H')", "split()", "split(',')", "splitlines()", "replace('l', '')",
           "startswith('H')", "endswith(('d', 'x'))", "find('o')", "count('l')", "join(ls)", "items()", "keys()", "values()", "get('b')",
           "get('q', 3)", "index(1)", "partition(',')", "rsplit(' ', 1)", "zfill(9)", "isdigit()", "isalpha()", "format(1, 2)", "copy()",
           "swapcase()", "capitalize()", "center(20, '*')", "nothing()", "append(1)", "casefold()", "isupper()", "removeprefix('He')"]
LITERALS = ["0", "1", "-1", "2", "10", "1.5", "-0.5", "1e3", "'a'", "'ab c'", '"%s-%d"', "'{}'", "''", "true", "false", "none", "[]", "{}", "()",
            "[1, 2, 3]", "(1, 'x')", "{'a': 1, 'b': none}", "[[1, 2], [3]]", "'é'", "'<b>'", "range(4)", "dict(a=1)", "namespace(a=1)"]


def expression(r, depth=0):
    kind = r.randrange(14 if depth < 4 else 3)
    inner = lambda: expression(r, depth + 1)  # noqa: E731
    if kind < 2:
        return r.choice(NAMES)
    if kind == 2:
        return r.choice(LITERALS)
    if kind < 5:
        return f"{inner()} {r.choice(BINARY)} {inner()}"
    if kind == 5:
        return f"({inner()})"
    if kind < 8:
        return f"{inner()} | {r.choice(FILTERS)}"
    if kind == 8:
        return f"{inner()} is {r.choice(['', 'not '])}{r.choice(TESTS)}"
    if kind == 9:
        return f"({inner()}).{r.choice(METHODS)}"
    if kind == 10:
        return f"{r.choice(NAMES)}[{r.choice(['0', '-1', '1:', ':-1', '::-1', '::2', '1', chr(39) + 'b' + chr(39), '5', inner()])}]"
    if kind == 11:
        return f"{inner()} if {inner()} else {inner()}" if r.random() < 0.8 else f"{inner()} if {inner()}"
    if kind == 12:
        return r.choice(["not ", "-", "+"]) + inner()
    return r.choice([f"[{inner()}, {inner()}]", f"{{'k': {inner()}}}", f"{r.choice(NAMES)}.{r.choice(['b', 'a', 'name', 'x', '0', 'items'])}"])


NUMBERS = ["0", "1", "-1", "7", "-42", "65", "1234567", "10 ** 20", "0.0", "-0.0", "1.5", "-2.5", "0.1", "123456.789", "1e16", "1e-7", "1e300", "true",
           "none", "'ab'", "'é日'", "''", "('inf' | float)", "(-('nan' | float))", "[1]", "{'a': 1}"]


def formatted(r):
    """% and format() with a specification of any kind, which more often than not fits."""
    number = r.choice(NUMBERS)
    if r.random() < 0.5:
        flags = "".join(r.choice("-+ #0") for _ in range(r.choice([0, 0, 1, 1, 2])))
        width = r.choice(["", "", "1", "5", "12", "*"])
        precision = r.choice(["", "", "", ".0", ".1", ".3", ".10", ".", ".*"])
        star = "(" + "9, " * (width + precision).count("*") + number + ",)"
        return f"'%{flags}{width}{precision}{r.choice('diouxXeEfFgGcrsa%')}|' % {star}"
    fill = r.choice(["", "", "", "<", ">", "^", "=", "*<", "é^", "0=", "x>"])
    spec = fill + r.choice(["", "", "+", "-", " "]) + r.choice(["", "", "", "#"]) + r.choice(["", "", "0"])
    spec += r.choice(["", "1", "6", "14"]) + r.choice(["", "", "", ",", "_"]) + r.choice(["", "", "", ".0", ".1", ".4", ".12"])
    spec += r.choice(["", "", *"bcdeEfFgGnosxX%"])
    return f"'{{{r.choice(['', '', '', '!r', '!s'])}:{spec}}}|'.format({number})"


def statement(r, depth=0):
    body = lambda: "".join(statement(r, depth + 1) for _ in range(r.randint(1, 2))) if depth < 3 else "."  # noqa: E731
    sign = lambda: r.choice(["", "", "", "-", "+"])  # noqa: E731
    space = lambda: r.choice(["", " ", "\n", "  \n  ", "x"])  # noqa: E731
    kind = r.randrange(12)
    end = sign()
    if kind < 4:
        text = f"{{{{{sign().replace('+', '')} {expression(r, 2)} {sign().replace('+', '')}}}}}"
    elif kind == 4:
        text = f"{{%{sign()} if {expression(r, 2)} {end}%}}{body()}{{%{sign()} else %}}{body()}{{% endif {end}%}}"
    elif kind < 7:
        text = (f"{{%{sign()} for x in {r.choice(['l', 'ls', 'users', 'd', 's', 'range(3)', expression(r, 2)])}"
                f"{r.choice(['', '', ' if x', ' if x != 1'])} {end}%}}{body()}{{{{ loop.index }}}}"
                f"{r.choice(['', '{{ loop.last }}', '{{ loop.length }}', '{% break %}', '{% continue %}', '{{ loop.previtem }}'])}"
                f"{r.choice(['', '{% else %}E'])}{{% endfor {end}%}}")
    elif kind == 7:
        text = f"{{%{sign()} set {r.choice(['x', 'y', 'n'])} = {expression(r, 2)} {end}%}}"
    elif kind == 8:
        text = f"{{% set x {end}%}}{body()}{{% endset {sign()}%}}"
    elif kind == 9:
        text = f"{{% macro q(a, b=2) {end}%}}{body()}{{{{ a }}}}{{{{ b }}}}{{% endmacro %}}{{{{ q({expression(r, 3)}) }}}}"
    elif kind == 10:
        text = f"{{% filter {r.choice(['upper', 'trim', 'title', 'length', 'reverse'])} {end}%}}{body()}{{% endfilter %}}"
    else:
        text = r.choice([f"{{#{sign()} c {end}#}}", "{% raw %} {{ x }} {% endraw %}", f"{{% with x = {expression(r, 3)} {end}%}}{{{{ x }}}}{{% endwith %}}"])
    return space() + text + space()


def generate(count, seed=5):
    r = random.Random(seed)
    for i in range(count):
        if i % 5 == 4:
            yield "{{ " + formatted(r) + " }}", CONTEXT
        else:
            yield ("{{ " + expression(r) + " }}" if i % 2 else "".join(statement(r) for _ in range(r.randint(1, 3)))), CONTEXT
