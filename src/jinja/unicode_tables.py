#!/usr/bin/env python3
"""Writes unicode_tables.inc: what Python's str methods know of each character, read off Python itself.

Run with the Python whose strings the template language shall follow (3.11, Unicode 14):
  python3 src/jinja/unicode_tables.py > src/jinja/unicode_tables.inc
"""
import sys
import unicodedata

FLAGS = ["Printable", "Alpha", "Decimal", "Digit", "Numeric", "Lower", "Upper", "Title", "Space", "Cased",
         "CaseIgnorable", "IdStart", "IdContinue"]


def flags(c):
    cased = (c + "a").title()[-1] == "a"
    final_after = ("A" + c + "Σ").lower()[-1] == "ς"
    values = [c.isprintable(), c.isalpha(), c.isdecimal(), c.isdigit(), c.isnumeric(), c.islower(), c.isupper(),
              unicodedata.category(c) == "Lt", c.isspace(), cased,
              # What may stand between a cased letter and a final sigma without being the cased letter itself.
              final_after and ("." + c + "Σ").lower()[-1] == "σ",
              c.isidentifier(), ("a" + c).isidentifier()]
    return sum(1 << i for i, v in enumerate(values) if v)


def ranges():
    out = []
    for cp in range(0x110000):
        f = flags(chr(cp))
        if out and out[-1][2] == f:
            out[-1][1] = cp
        else:
            out.append([cp, cp, f])
    return [r for r in out if r[2]]


def mapping(function):
    """Runs (first, last, step, delta) of characters that map to one character, and those that map to several."""
    runs, special = [], []
    for cp in range(0x110000):
        to = function(chr(cp))
        if to == chr(cp):
            continue
        if len(to) > 1:
            special.append([cp] + [ord(c) for c in to] + [0] * (3 - len(to)))
            continue
        delta = ord(to) - cp
        if runs and runs[-1][3] == delta:
            first, last, step, _ = runs[-1]
            gap = cp - last
            if gap <= 2 and (step == gap or first == last):
                runs[-1][1:3] = [cp, gap]
                continue
        runs.append([cp, cp, 1, delta])
    return runs, special


def table(kind, name, rows):
    print(f"constexpr {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        item = " {" + ",".join(str(v) for v in row) + "},"
        if len(line) + len(item) > 120:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")


print(f"// Written by unicode_tables.py from Unicode {unicodedata.unidata_version}; do not edit.")
print("enum Flag : unsigned {")
for i, name in enumerate(FLAGS):
    print(f"  {name} = 1u << {i},")
print("};")
table("ClassRange", "class_ranges", ranges())
for name, function in [("upper", str.upper), ("lower", str.lower), ("title", str.title), ("fold", str.casefold)]:
    runs, special = mapping(function)
    table("CaseRun", name + "_runs", runs)
    table("CaseSpecial", name + "_special", special)
