#!/usr/bin/env python3
"""Compares the template language with Python's jinja2, set up as Hugging Face's transformers does.

usage: compare.py RENDER_LINES conversations|expressions|random [COUNT]
       compare.py RENDER_LINES mutations [COUNT [SEED]]
       compare.py RENDER_LINES files FOLDER …

conversations: every chat template at hand over COUNT (300) generated conversations, byte for byte.
expressions:   the corpus in expressions.txt: the same text, or both refuse.
random:        COUNT (1500) random templates: the same text, or both refuse.
mutations:     COUNT (3000) templates made of all of these by a mutator: the same text, or both refuse.
files:         each file of the folders (a fuzzer's, say), as far as it is UTF-8, over one conversation.
Exits 77, saying why, if jinja2 or (for conversations) the templates are missing.
"""
import collections
import copy
import datetime
import html
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time
import warnings

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ADDRESS = re.compile(r"0x[0-9a-f]{6}")  # of a Python object that was printed: nobody can want that
NOW = datetime.datetime(2026, 3, 9, 7, 5, 3)
# What the language here refuses and jinja2 need not: what goes beyond its bounds, complex numbers, sets, and letters that
# strftime does not know (which the C library prints).
BOUNDS = re.compile(r"does not fit into 128 bits|takes more steps|nested|too deep|more than \d+ bytes|longer than the \d+|a (width|precision) is too large|is complex|"
                    r"dict_(keys|items).* cannot be combined by -|knows no %")
warnings.simplefilter("ignore", SyntaxWarning)  # of the Python that jinja2 makes of 1[2], say
SECONDS = 5  # that jinja2 has for a template: it has no bound on its steps


def skip(why):
    print("skipped:", why)
    sys.exit(77)


try:
    import jinja2
    import jinja2.ext
    import jinja2.filters
    import jinja2.sandbox
except ImportError:
    skip("Python's jinja2 is not installed (Debian: python3-jinja2)")

sys.path.insert(0, str(HERE))
import conversations  # noqa: E402
import mutations  # noqa: E402
import random_templates  # noqa: E402


def like_newer_markup():
    """Gives an older markupsafe the methods that since 3.0 return markup."""
    def wrapped(name):
        return lambda self, *arguments: type(self)(getattr(str, name)(self, *arguments))
    for name in ("casefold", "removeprefix", "removesuffix"):
        if name not in vars(jinja2.filters.Markup):
            setattr(jinja2.filters.Markup, name, wrapped(name))


class Generation(jinja2.ext.Extension):
    """{% generation %} encloses what the model wrote; the text itself is not changed."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment(folding=True):
    """`folding`: whether constant expressions are evaluated while compiling, as jinja2 does unless told not to. A few of
    their values are then others than those of the same expression of variables: a slice of a number is undefined where
    it would be an error, and an infinity cannot be compiled. Either answer is jinja2's."""
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    @jinja2.pass_context
    def unchanged(_, value):  # since it wants a context, what is printed is not folded either
        return value

    class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
        def is_safe_attribute(self, obj, attr, value):  # jinja2 3.1.5 and later know these two as well
            return super().is_safe_attribute(obj, attr, value) and not (isinstance(obj, list) and attr in ("clear", "pop"))

    env = Sandbox(trim_blocks=True, lstrip_blocks=True, optimized=folding, finalize=None if folding else unchanged,
                  extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


class TooLong(BaseException):
    """jinja2 did not end in time; no Exception, lest jinja2 take it for the template's."""


def out_of_time(*_):
    raise TooLong


def render(env, template, context):
    signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return {"text": env.from_string(template).render(**copy.deepcopy(context))}  # += on a list would change it
    except TooLong:
        return {"endless": f"more than {SECONDS} s"}
    except Exception as error:  # whatever Python objects to, we shall object to
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def addressed(value, soft_str=jinja2.filters.soft_str):
    """What filters make text with; it notes whether there was an address in one."""
    text = soft_str(value)
    addressed.seen = addressed.seen or bool(ADDRESS.search(text))
    return text


def judge(ours, theirs):
    if "error" in ours and "error" in theirs:
        return "refused"
    if ours == theirs:
        return "equal"
    if BOUNDS.search(ours.get("error", "")):
        return "bounded"
    if "endless" in theirs:
        return "endless"
    # An infinity or a NaN among constants is what jinja2 writes into Python, which knows no such word.
    if re.match(r"NameError: name '(inf|nan)'", theirs.get("error", "")):
        return "uncompilable"
    # Addresses whose letters were taken apart count, and those of which only the length was asked.
    letters = re.sub(r"[^0-9a-z]", "", html.unescape(theirs.get("text", "")).lower())
    return "unprintable" if ADDRESS.search(letters) or addressed.seen else "different"


def compare(renderer, cases):
    """cases: (name, template, context). Returns the number of those that differ, telling of the first few."""
    lines = "".join(json.dumps({"template": t, "context": c}) + "\n" for _, t, c in cases)
    start = time.time()
    run = subprocess.run([renderer], input=lines.encode(), capture_output=True)
    took = time.time() - start
    if run.returncode != 0:
        print(run.stderr.decode(errors="replace"))
        sys.exit(f"{renderer} ended with {run.returncode}")
    got = [json.loads(line) for line in run.stdout.decode().split("\n")[:-1]]
    if len(got) != len(cases):
        sys.exit(f"{renderer} answered {len(got)} of {len(cases)} lines")
    jinja2.filters.soft_str = addressed
    like_newer_markup()
    envs, counts = [environment(), environment(folding=False)], collections.Counter()
    # A template may ask jinja2 for a text of any length.
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
    start = time.time()
    for (name, template, context), ours in zip(cases, got):
        addressed.seen = False
        theirs = render(envs[0], template, context)
        verdict = judge(ours, theirs)
        if verdict == "different":
            verdict = judge(ours, render(envs[1], template, context))
        counts[verdict] += 1
        if verdict == "different" and counts[verdict] <= 60:
            print(f"--- {name}\n    jinja2: {str(theirs)[-700:]}\n    ours:   {str(ours)[-700:]}")
    print(f"{len(cases)} compared: {counts['equal']} the same text, {counts['refused']} refused by both, {counts['bounded']} beyond our "
          f"bounds, {counts['unprintable']} print an address, {counts['uncompilable']} an infinity jinja2 cannot compile, {counts['endless']} not "
          f"ended by jinja2 in {SECONDS} s, {counts['different']} different; "
          f"ours {took:.2f} s, jinja2 {time.time() - start:.2f} s")
    return counts["different"]


def conversation_cases(count):
    shared = pathlib.Path(os.environ.get("SMOLLM3_SHARED", ROOT.parent / "shared")) / "data"
    paths = sorted(shared.glob("*.jinja")) + sorted(ROOT.glob("models/demo/*.jinja")) + sorted(ROOT.glob("src/smollm3/*.jinja"))
    if not sorted(shared.glob("*.jinja")):
        skip(f"no templates under {shared} (set SMOLLM3_SHARED)")
    for path in paths:
        source = path.read_text()
        for i, context in enumerate(conversations.generate(count)):
            yield f"{path.name}, conversation {i}", source, context


def expression_cases():
    """expressions.txt: a template a line, with \\n for a line's end; # starts a comment, a line "= {json}" a context."""
    context = {}
    for number, line in enumerate((HERE / "expressions.txt").read_text().split("\n"), 1):
        if line.startswith("= "):
            context = json.loads(line[2:])
        elif line and not line.startswith("#"):
            yield f"line {number}: {line}", line.replace("\\n", "\n"), context
            parts = re.findall(r"{{ .+? }}(?!})", line)
            if "{%" not in line and "{#" not in line and len(parts) > 1:
                for part in parts:  # so that one that both refuse hides no other
                    yield f"line {number}: {part}", part, context


def random_cases(count):
    for i, (source, context) in enumerate(random_templates.generate(count)):
        yield f"random {i}: {source!r}", source, context


def mutation_cases(count, seed):
    cases = list(expression_cases()) + list(random_cases(500))
    try:
        cases += list(conversation_cases(10))
    except SystemExit:
        pass  # the others will do
    return mutations.Mutator(cases, seed).generate(count)


def file_cases(folders):
    context = next(iter(conversations.generate(1)))
    for path in sorted(path for folder in folders for path in pathlib.Path(folder).iterdir()):
        try:
            yield path.name, path.read_bytes().decode(), context
        except UnicodeDecodeError:
            pass  # to Python no template at all


def main():
    renderer, corpus = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 and corpus != "files" else None
    seed = int(sys.argv[4]) if len(sys.argv) > 4 and corpus != "files" else 1
    cases = {"conversations": lambda: conversation_cases(count or 300), "expressions": expression_cases,
             "random": lambda: random_cases(count or 1500), "mutations": lambda: mutation_cases(count or 3000, seed),
             "files": lambda: file_cases(sys.argv[3:])}[corpus]()
    sys.exit(1 if compare(renderer, list(cases)) else 0)


if __name__ == "__main__":
    main()
