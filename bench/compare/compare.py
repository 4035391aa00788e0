#!/usr/bin/env python3
"""Speed beside llama.cpp on the same file and machine: both run alternately, and the table has the medians.

  bench/compare/compare.py --model 3b.gguf [--prompts 512,2048] [--depths 0,4096] [--repeat 3] [--out FILE]

llama.cpp is the prebuilt one of the npm package node-llama-cpp (tests/peers/peer.py tells where it is looked for), with
the CPU library it chooses itself, weights repacked, flash attention on, and keys and values in F16. A file of the real
shape: `smollm3 synth --shape 3b --out 3b.gguf`. Each run loads the model anew and warms up before it measures; the
machine should have nothing else to do.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/peers"))
import peer  # noqa: E402


def key(result):
    return result["test"], result["tokens"], result["depth"]


def ours(options):
    command = [options.program, "--model", options.model, "--threads", options.threads, "bench", "-p", options.prompts,
               "-n", options.generate, "-d", options.depths, "-b", 1, "--repeat", 1, "--json"]
    out = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    # Prompts at other depths than 0 are not compared.
    return {key(r): r["tokens_per_second"] for r in json.loads(out) if r["test"] == "tg" or r["depth"] == 0}


def theirs(options, program, libraries):
    command = [program, "bench", libraries, options.model, options.threads, options.prompts, options.generate,
               options.depths]
    out = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    return {key(r): r["tokens_per_second"] for r in json.loads(out)}


def machine():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':')[1].strip()}, {os.cpu_count()} processors"
    return f"{os.cpu_count()} processors"


def name(test, tokens, depth):
    if test == "pp":
        return f"prompt of {tokens:,}"
    return "decode" if depth == 0 else f"decode at {depth:,} deep"


def table(runs, options):
    rows = [f"| tokens/s | smollm3 | llama.cpp {peer.version()} | ratio |", "|---|---|---|---|"]
    for which in runs["theirs"][0]:
        medians = [statistics.median(run[which] for run in runs[side]) for side in ("ours", "theirs")]
        spread = [f"{m:.1f} ({min(r[which] for r in runs[side]):.1f}–{max(r[which] for r in runs[side]):.1f})"
                  for m, side in zip(medians, ("ours", "theirs"))]
        rows.append(f"| {name(*which)} | {spread[0]} | {spread[1]} | {medians[0] / medians[1]:.2f} |")
    rows.append("")
    rows.append(f"{machine()}; {options.threads} threads; medians (and range) of {options.repeat} alternating runs.")
    return "\n".join(rows) + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--program", default=ROOT / "build/release/smollm3")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--prompts", default="512", help="lengths, separated by commas")
    arguments.add_argument("--depths", default="0", help="positions already filled when decoding starts")
    arguments.add_argument("--generate", type=int, default=32)
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--out", help="a file for the table, besides standard output")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program, libraries = peer.compile_peer(folder)
        runs = {"ours": [], "theirs": []}
        for _ in range(options.repeat):
            runs["ours"].append(ours(options))
            runs["theirs"].append(theirs(options, program, libraries))
            print(json.dumps({side: {name(*k): v for k, v in runs[side][-1].items()} for side in runs}), file=sys.stderr)
    text = table(runs, options)
    print(text)
    if options.out:
        pathlib.Path(options.out).write_text(text)


if __name__ == "__main__":
    main()
