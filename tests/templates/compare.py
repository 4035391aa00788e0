#!/usr/bin/env python3
"""Compares the template language with Python's jinja2, set up as Hugging Face's transformers does.

usage: compare.py RENDER_LINES conversations|expressions|random [COUNT]

conversations: every chat template at hand over COUNT (300) generated conversations, byte for byte.
expressions:   the corpus in expressions.txt: the same text, or both refuse.
random:        COUNT (1500) random templates: the same text, or both refuse.
Exits 77, saying why, if jinja2 or (for conversations) the templates are missing.
"""
import copy
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ADDRESS = re.compile(r"(?i) at 0x[0-9a-f]+(>|&gt;|$)")  # of a Python object that was printed: nobody can want that
NOW = datetime.datetime(2026, 3, 9, 7, 5, 3)


def skip(why):
    print("skipped:", why)
    sys.exit(77)


try:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
except ImportError:
    skip("Python's jinja2 is not installed (Debian: python3-jinja2)")

sys.path.insert(0, str(HERE))
import conversations  # noqa: E402
import random_templates  # noqa: E402


class Generation(jinja2.ext.Extension):
    """{% generation %} encloses what the model wrote; the text itself is not changed."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                       extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def expected(env, cache, template, context):
    try:
        if template not in cache:
            cache[template] = env.from_string(template)
        return {"text": cache[template].render(**copy.deepcopy(context))}  # += on a list would change it
    except Exception as error:  # whatever Python objects to, we shall object to
        return {"error": f"{type(error).__name__}: {error}"}


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
    env, cache, wrong, refused = environment(), {}, 0, 0
    start = time.time()
    for (name, template, context), ours in zip(cases, got):
        theirs = expected(env, cache, template, context)
        refused += "error" in theirs
        if ("error" in ours and "error" in theirs) or ours == theirs or ADDRESS.search(theirs.get("text", "")):
            continue
        wrong += 1
        if wrong <= 20:
            print(f"--- {name}\n    jinja2: {str(theirs)[-700:]}\n    ours:   {str(ours)[-700:]}")
    print(f"{len(cases) - wrong} of {len(cases)} equal ({refused} of them refused by both); "
          f"ours {took:.2f} s, jinja2 {time.time() - start:.2f} s")
    return wrong


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


def main():
    renderer, corpus = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else None
    cases = {"conversations": lambda: conversation_cases(count or 300), "expressions": expression_cases,
             "random": lambda: random_cases(count or 1500)}[corpus]()
    sys.exit(1 if compare(renderer, list(cases)) else 0)


if __name__ == "__main__":
    main()
