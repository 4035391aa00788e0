#!/usr/bin/env python3
"""Speed beside llama.cpp on the same file and machine: both run alternately, and the table has the medians.

  bench/compare/compare.py --model 3b.gguf [--prompts 512,2048] [--depths 0,4096] [--batches 1,16] [--isa avx2]
                           [--repeat 3] [--out FOLDER]

llama.cpp is the prebuilt one of the npm package node-llama-cpp (tests/peers/peer.py tells where it is looked for), with
the CPU library it chooses itself or, with --isa avx2, its haswell one; weights repacked, flash attention on, and keys
and values in F16. A file of the real shape: `smollm3 synth --shape 3b --out 3b.gguf`. Each run loads the model anew and
warms up before it measures; the machine should have nothing else to do.

--out writes table.md, every figure of every run (runs.json) and, with several depths or batch sizes, a chart of them
(depth.svg, batch.svg) with the limit of the machine.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/peers"))
import chart  # noqa: E402
import peer  # noqa: E402


def key(result):
    return result["test"], result["tokens"], result["depth"], result["batch"]


def run(command, environment=None):
    return json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True,
                                     env=environment).stdout)


def ours(options):
    """Tokens per second and limits, of each test."""
    environment = dict(os.environ) if options.isa == "best" else {**os.environ, "SMOLLM3_CPU": options.isa}
    results = run([options.program, "--model", options.model, "--threads", options.threads, "bench", "-p",
                   options.prompts, "-n", options.generate, "-d", options.depths, "-b", options.batches, "--repeat", 1,
                   "--json"], environment)
    results = [r for r in results if r["test"] == "tg" or r["depth"] == 0]  # other prompts are not compared
    speeds = {key(r): r["tokens_per_second"] for r in results}
    return speeds, {key(r): r["tokens_per_second"] / r["limit_share"] for r in results}


def theirs(options, program, libraries):
    return {key(r): r["tokens_per_second"]
            for r in run([program, "bench", libraries, options.model, options.threads, options.prompts,
                          options.generate, options.depths, options.batches])}


def libraries_for(isa, libraries, folder):
    """The folder of llama.cpp's libraries, or one that has no CPU library but that of the instruction set."""
    if isa == "best":
        return libraries
    chosen = pathlib.Path(folder) / "libraries"
    chosen.mkdir()
    for library in libraries.iterdir():
        if not library.name.startswith("libggml-cpu-") or library.name == "libggml-cpu-haswell.so":
            (chosen / library.name).symlink_to(library)
    return chosen


def machine():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':')[1].strip()}, {os.cpu_count()} processors"
    return f"{os.cpu_count()} processors"


def name(test, tokens, depth, batch):
    if test == "pp":
        return f"prompt of {tokens:,}"
    where = "" if depth == 0 else f" at {depth:,} deep"
    return f"decode{where}" if batch == 1 else f"{batch} sequences{where} decoding, in all"


def medians(runs, which):
    return statistics.median(run[which] for run in runs)


def table(runs, options):
    rows = [f"| tokens/s | smollm3 | of the limit | llama.cpp {peer.version()} | ratio |", "|---|---|---|---|---|"]
    for which in runs["theirs"][0]:
        middle = {side: medians(runs[side], which) for side in runs}
        spread = {side: f"{middle[side]:.1f} ({min(r[which] for r in runs[side]):.1f}–"
                        f"{max(r[which] for r in runs[side]):.1f})" for side in ("ours", "theirs")}
        rows.append(f"| {name(*which)} | {spread['ours']} | {100 * middle['ours'] / middle['limits']:.0f} % | "
                    f"{spread['theirs']} | {middle['ours'] / middle['theirs']:.2f} |")
    kernels = "" if options.isa == "best" else f"both with {options.isa.upper()} only; "
    rows.append("")
    rows.append(f"{machine()}; {kernels}{options.threads} threads; medians (and range) of {options.repeat} "
                "alternating runs.")
    return "\n".join(rows) + "\n"


def charts(runs, folder):
    """One over depth and one over batch size, each where there are at least two."""
    tests = [which for which in runs["ours"][0] if which[0] == "tg"]
    for axis, title, index, others in (("depth", "tokens a second at a depth of …", 2, lambda t: t[3] == 1),
                                       ("batch", "tokens a second in all, of … sequences", 3, lambda t: t[2] == 0)):
        chosen = sorted((t for t in tests if others(t)), key=lambda t: t[index])
        if len(chosen) > 1:
            lines = {label: [(t[index], medians(runs[side], t)) for t in chosen]
                     for side, label in (("ours", "smollm3"), ("theirs", "llama.cpp"), ("limits", "limit"))}
            (folder / f"{axis}.svg").write_text(chart.svg(title, lines))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--program", default=ROOT / "build/release/smollm3")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--prompts", default="512", help="lengths, separated by commas")
    arguments.add_argument("--depths", default="0", help="positions already filled when decoding starts")
    arguments.add_argument("--batches", default="1", help="sequences that decode at the same time")
    arguments.add_argument("--generate", type=int, default=32)
    arguments.add_argument("--isa", choices=("best", "avx2"), default="best")
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--pause", type=float, default=10, help="seconds before each run, for the system to clear up "
                           "the memory of the last one (default: 10)")
    arguments.add_argument("--out", type=pathlib.Path, help="a folder for the results, besides standard output")
    options = arguments.parse_args()
    runs = {"ours": [], "limits": [], "theirs": []}
    with tempfile.TemporaryDirectory() as folder:
        program, libraries = peer.compile_peer(folder)
        libraries = libraries_for(options.isa, libraries, folder)
        for _ in range(options.repeat):
            time.sleep(options.pause)
            speeds, limits = ours(options)
            runs["ours"].append(speeds)
            runs["limits"].append(limits)
            time.sleep(options.pause)
            runs["theirs"].append(theirs(options, program, libraries))
            print(json.dumps({side: {name(*k): round(v, 1) for k, v in runs[side][-1].items()} for side in runs}),
                  file=sys.stderr)
    text = table(runs, options)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "table.md").write_text(text)
        every = {side: [{name(*k): v for k, v in one.items()} for one in runs[side]] for side in runs}
        (options.out / "runs.json").write_text(json.dumps({"machine": machine(), **every}, indent=1) + "\n")
        charts(runs, options.out)


if __name__ == "__main__":
    main()
