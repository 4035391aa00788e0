"""Random expressions whose parts have the types that their places want, so that most of them have a value: what both
implementations refuse says little about either. Here <string> stands for any expression that is a string, and so on."""
import re

# `name`s of the mutated template's context join these, by their types.
LITERALS = {
    "string": ["''", "'a'", "'b'", "' '", "','", "'abc'", "' a b '", "'Hello, World'", "'3'", "'-2.5'", "'1_0'", "'0x1f'", "'٣'", "'x=1'", "'ÀÉ ß'",
               "'日本🤖'", "'ǆ ŉ ﬁ'", "'ΑΣ'", "'a\\nb\\r\\nc'", "'\\ta\\tb'", "'a\\u2028b\\u00a0'", "'<b>&\"'", "('<i>' | safe)", "'%'", "'{}'", "'it\\'s'"],
    "int": ["0", "1", "1", "2", "2", "3", "-1", "-2", "5", "7", "10", "-42", "255", "1000", "123456789", "2 ** 62", "true"],
    "float": ["0.0", "-0.0", "0.5", "1.5", "2.5", "-2.5", "0.1", "1e16", "123456.789", "1e-7", "-7.5", "1e300", "('inf' | float)", "('nan' | float)", "2.0"],
    "bool": ["true", "false"],
    "ints": ["[3, 1, 2]", "(1, 2)", "range(5)", "[0, 0, true, -1]", "[7]", "[]", "range(6, 0, -2)"],
    "strings": ["['b', 'A', 'c']", "('x', 'Y')", "'日本a'", "[]", "['a', 'a', 'A']", "['']", "{'k': 1, 'B': 2}", "['é', 'E', 'z']", "['10', '9']"],
    "list": ["[1, 'x', none]", "[[1, 2], [3]]", "[{'a': 1}, {'a': 0}]", "(1, 'x')", "[]", "()", "[true, 1, 1.0]", "[none]", "[[], {}, '']"],
    "dict": ["{}", "{'a': 1}", "{'b': 2, 'a': [1]}", "{1: 'x', 'b': none}", "{'B': 'x', 'a': 'Y'}", "{'a': {'a': 'a'}}", "{none: 1, true: 2, 2.5: 3}",
             "{(1, 2): 3}"],
    "none": ["none", "missing"],
}
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "sequence", "iterable", "boolean", "true", "false", "callable",
         "escaped", "lower", "upper", "eq(<any>)", "ne(<any>)", "sameas(<any>)", "in(<list>)", "in <strings>", "not none", "not string"]
FORMS = {
    "string": [
        *(f"<string> | {name}" for name in (
            "upper", "lower", "title", "capitalize", "trim", "trim(<string>)", "string", "e", "forceescape", "safe", "reverse", "center(<int>)", "truncate(<int>)",
            "truncate(<int>, <bool>)", "truncate(<int>, <bool>, <string>)", "truncate(<int>, <bool>, <string>, <int>)", "indent(<int>)", "indent(<string>, <bool>, <bool>)",
            "replace(<string>, <string>)", "replace(<string>, <string>, <int>)", "urlencode", "format(<any>)", "tojson", "tojson(ensure_ascii=true)")),
        *(f"<string>.{name}" for name in (
            "upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()", "strip()", "strip(<string>)", "lstrip(<string>)", "rstrip(<string>)",
            "removeprefix(<string>)", "removesuffix(<string>)", "replace(<string>, <string>)", "replace(<string>, <string>, <int>)", "zfill(<int>)", "ljust(<int>)",
            "rjust(<int>, '*')", "center(<int>, 'é')", "expandtabs(<int>)", "expandtabs()", "join(<strings>)", "format(<any>)", "format(<any>, a=<any>)")),
        "<string> + <string>", "<string> ~ <any>", "<any> ~ <any> ~ <string>", "<string> * <int>", "<int> * <string>", "<string>[<int>]", "<string>[<int>:]",
        "<string>[:<int>]", "<string>[<int>:<int>]", "<string>[<int>:<int>:<int>]", "<string>[::<int>]", "<strings> | join", "<strings> | join(<string>)",
        "<list> | join(<string>)", "<any> | tojson", "<list> | tojson(indent=<int>)", "<dict> | tojson(indent=<int>, sort_keys=<bool>)",
        "<dict> | tojson(separators=(<string>, <string>))", "<any> | string", "<int> | filesizeformat", "<float> | filesizeformat(<bool>)", "<dict> | urlencode",
        "<dict> | xmlattr", "<dict> | xmlattr(<bool>)", "'%s|%r' % (<any>, <any>)", "'%5d|%-5d|%+d' % (<int>, <int>, <int>)", "'%x %o %c' % (<int>, <int>, <string>[0])",
        "'%.2f|%e|%g' % (<float>, <float>, <int>)", "'{:>8}|{!r}|{:^9}'.format(<string>, <any>, <string>)", "'{:,}|{:08.3f}|{:.3}'.format(<int>, <float>, <string>)",
        "'{0[0]}{1.x}'.format(<strings>, <any>)", "'{a}{b!s}'.format(**{'a': <any>, 'b': <any>})", "<strings> | first", "<strings> | last", "<strings> | min",
        "<strings> | max(case_sensitive=<bool>)"],
    "int": [
        "<string> | length", "<list> | count", "<dict> | length", "<int> + <int>", "<int> - <int>", "<int> * <int>", "<int> // <int>", "<int> % <int>", "<int> ** <int>",
        "-<int>", "+<int>", "-<bool>", "<string> | int", "<string> | int(<int>)", "<string> | int(<int>, <int>)", "<string> | int(base=16)", "<float> | int", "<int> | abs",
        "<int> | round(<int>)", "<string> | wordcount", "<string>.find(<string>)", "<string>.rfind(<string>)", "<string>.find(<string>, <int>)",
        "<string>.find(<string>, <int>, <int>)", "<string>.index(<string>)", "<string>.count(<string>)", "<string>.count(<string>, <int>, <int>)", "<ints> | sum",
        "<ints> | sum(start=<int>)", "<ints> | max", "<ints> | min", "<ints> | first", "<ints> | last", "<ints>[<int>]", "<list>.count(<any>)", "<ints>.index(<int>)",
        "<dict> | sum(start=<int>)"],
    "float": [
        "<int> / <int>", "<float> + <float>", "<float> - <int>", "<int> * <float>", "<float> / <float>", "<float> // <float>", "<float> % <float>", "<int> // <float>",
        "<float> % <int>", "<float> ** <int>", "<int> ** <float>", "-<float>", "<string> | float", "<string> | float(<float>)", "<float> | abs", "<float> | round",
        "<float> | round(<int>)", "<float> | round(<int>, 'floor')", "<float> | round(<int>, 'ceil')", "<int> | round(<int>, 'ceil')", "<int> | float",
        "[<float>, <int>, <float>] | sum", "[<float>, <int>, <float>] | max", "[<float>, <int>] | min"],
    "bool": [
        *(f"<any> is {name}" for name in TESTS), "<any> == <any>", "<any> != <any>", "<int> < <int>", "<float> <= <int>", "<int> == <float>", "<string> < <string>",
        "<string> >= <string>", "<ints> == <ints>", "<list> == <list>", "[<int>, <string>] < [<int>, <string>]", "<dict> == <dict>", "<any> in <list>", "<any> not in <strings>",
        "<string> in <string>", "<string> in <dict>", "<int> in <ints>", "not <any>", "<int> < <float> < <int>", "<int> == <int> != <any>", "<int> is odd", "<int> is even",
        "<int> is divisibleby <int>", "<int> is gt(<int>)", "<string> is lt(<string>)",
        *(f"<string>.{name}()" for name in ("isdigit", "isdecimal", "isnumeric", "isalpha", "isalnum", "isspace", "isupper", "islower", "istitle", "isascii",
                                            "isidentifier", "isprintable")),
        "<string>.startswith(<string>)", "<string>.endswith((<string>, <string>))", "<string>.startswith(<string>, <int>)", "<string>.endswith(<string>, <int>, <int>)"],
    "ints": [
        "<ints> | list", "<ints> | sort", "<ints> | sort(reverse=<bool>)", "<ints> | reverse | list", "<ints> | unique | list", "<ints>[<int>:<int>]", "<ints>[::<int>]",
        "<ints> | map('abs') | list", "<ints> | select('odd') | list", "<ints> | reject('gt', <int>) | list", "<strings> | map('length') | list", "range(<int>)",
        "range(<int>, <int>)", "range(<int>, <int>, <int>)", "[<int>, <int>]"],
    "strings": [
        "<strings> | list", "<strings> | sort", "<strings> | sort(<bool>, <bool>)", "<strings> | reverse | list", "<strings> | unique | list", "<strings> | unique(<bool>) | list",
        "<strings> | map('upper') | list", "<strings> | map('replace', <string>, <string>) | list", "<strings> | map('default', <string>, <bool>) | list",
        "<strings> | select('in', <string>) | list", "<strings> | select | list", "<strings> | reject('lower') | list", "<string>.split()", "<string>.split(<string>)",
        "<string>.split(<string>, <int>)", "<string>.rsplit(<string>, <int>)", "<string>.rsplit()", "<string>.split(none, <int>)", "<string>.splitlines()",
        "<string>.splitlines(<bool>)", "<string>.partition(<string>)", "<string>.rpartition(<string>)", "<list> | map('string') | list", "<any> | string | list",
        "[<string>, <string>]", "<strings> | map('first') | list"],
    "list": [
        "<list> | list", "<list> + <list>", "<list> * <int>", "<list>[<int>:<int>]", "<list>[<int>:<int>:<int>]", "<list> | reverse | list", "<list> | batch(<int>) | list",
        "<list> | batch(<int>, <any>) | list", "<list> | slice(<int>) | map('list') | list", "<ints> | slice(<int>, <any>) | list", "<dict> | dictsort",
        "<dict> | dictsort(<bool>, 'value', <bool>)", "<dict> | items | list", "<dict>.items() | list", "<dict>.keys() | list", "<dict>.values() | list", "<dict>.keys()",
        "<dict>.items()", "<list> | map('tojson') | list", "<list> | select('string') | list", "<list> | reject('none') | list", "[<any>, <any>]", "(<any>, <any>)", "(<any>,)",
        "[{'a': <int>}, {'a': <int>}] | sort(attribute='a')", "[{'a': <string>}, {'a': <string>}] | groupby('a') | list", "[{'a': <string>, 'b': <int>}] | groupby('a', default=<string>)",
        "[{'a': <any>}, {'b': <any>}] | map(attribute='a', default=<any>) | list", "[{'a': <any>}, {'a': <any>}] | selectattr('a') | list",
        "[{'a': <int>}, {'a': <int>}] | rejectattr('a', 'gt', <int>) | list", "[{'a': <string>}, {'a': <string>}] | unique(attribute='a') | list",
        "[[<int>, <string>], [<int>, <string>]] | sort", "[<any>, <any>] | unique | list", "<strings>", "<ints>"],
    "dict": [
        "{<string>: <any>}", "{<any>: <any>, <string>: <any>}", "dict(a=<any>)", "dict(<dict>, b=<any>)", "dict([(<string>, <any>), (<int>, <any>)])", "<dict>.copy()",
        "dict.fromkeys(<strings>, <any>)", "dict(<dict>.items())", "dict(<dict> | dictsort)"],
    "any": [
        "<string>", "<int>", "<float>", "<bool>", "<ints>", "<strings>", "<list>", "<dict>", "<none>", "<any> if <any> else <any>", "<any> if <bool>", "<any> or <any>", "<any> and <any>",
        "<any> | default(<any>)", "<any> | default(<any>, <bool>)", "<dict>.get(<string>)", "<dict>.get(<any>, <any>)", "<dict>[<string>]", "<dict>.a", "<list> | first", "<list> | last",
        "<list>[<int>]", "<dict> | attr(<string>)", "<any>[<string>]"],
    "none": [],
}
PLACE = re.compile("<(string|int|float|bool|ints|strings|list|dict|any|none)>")
ATOM = re.compile(r"'(?:\\.|[^'\\])*'|\w+|\d+\.\d+|\[[^\[\]]*\]|\{[^{}]*\}|\([^()]*\)")


def kind_of(value):
    """The kind of a value of the context; None of one that is none."""
    if isinstance(value, list):
        for kind, item in (("ints", int), ("strings", str)):
            if value and all(isinstance(x, item) for x in value):
                return kind
        return "list"
    return {str: "string", bool: "bool", int: "int", float: "float", dict: "dict"}.get(type(value))


def literals(context):
    """LITERALS with the context's names among them."""
    out = {kind: list(values) for kind, values in LITERALS.items()}
    for name, value in context.items():
        if kind := kind_of(value):
            out[kind] += [name, name]
    return out


def expression(r, kind, of, depth=0, part=None):
    """An expression of that kind; `of`: see literals(). `part`, if given, is an expression that becomes its first part."""
    if part is None and of.get(kind) and r.random() < (0.15, 0.6, 0.8, 1.0)[depth]:
        return r.choice(of[kind])
    forms = [form for form in FORMS[kind] if part is None or f"<{kind}>" in form] or [f"<{kind}>"]
    form = r.choice(forms)
    if depth >= 3:
        return r.choice(of[r.choice(["string", "int", "list", "none"]) if kind == "any" else kind])

    def fill(place):
        nonlocal part
        if part is not None and place.group(1) == kind:
            inner, part = part, None
        else:
            inner = expression(r, place.group(1), of, depth + 1)
        return inner if ATOM.fullmatch(inner) else f"({inner})"
    return PLACE.sub(fill, form)
