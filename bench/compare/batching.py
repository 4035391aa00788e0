#!/usr/bin/env python3
"""Many askers at once beside llama.cpp on the same file and machine: what each of them waits for.

  bench/compare/batching.py --model 3b.gguf [--parts a,b,c] [--repeat 1] [--out FILE.json]

  a  many ask, each with a prompt and an answer of its own: all at once (a1), joining at random (a2), and all at once
     with short prompts, so that all write together (a3)
  b  a long prompt is read: alone (b1), and while others write (b2), who stall meanwhile
  c  short questions, one after the other: alone (c1), and while a long answer is written (c2)

A part may also be one of its tests (--parts a3,b). smollm3 is asked over HTTP, and measured from the client: from
sending a request to the arrival of each piece of its answer. llama.cpp is the prebuilt library of the npm package
node-llama-cpp (tests/peers/peer.py tells where it is looked for), driven by llama_batching.cpp as its own server drives
it, and measured without HTTP. Both draw with the defaults of that server (top-k 40, top-p 0.95, min-p 0.05,
temperature 0.8), and never an end. Weights repacked, flash attention on, keys and values in F16.

Both run alternately, part after part, each started anew and warmed up; the machine should have nothing else to do. A
file of the real shape: `smollm3 synth --shape 3b --out 3b.gguf`. By the speeds of compare.py it all takes 13 minutes
where llama.cpp reads 65 tokens a second and 17 where it reads 45; with --prompt 256 --generate 64, 8 and 10.
"""
import argparse
import dataclasses
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/peers"))
import peer  # noqa: E402
import served  # noqa: E402
from compare import machine  # noqa: E402
from timeline import Answer, Ask, crowd, joined  # noqa: E402

# What is wanted of a measure: so many times llama.cpp, or at most so many seconds.
WANTED = {("a3", "tokens_per_second_of_all"): ("times", 4), ("b2", "stall"): ("most", 0.3)}

# Their names and units, in the order of the table.
MEASURES = {"total": ("first request to last token", "s"),
            "tokens_per_second": ("tokens written, in all that time", "tokens/s"),
            "tokens_per_second_of_all": ("tokens written while everybody writes", "tokens/s"),
            "wait": ("first token, median", "s"),
            "longest_wait": ("first token, longest", "s"),
            "longest_gap": ("longest gap within an answer", "s"),
            "prompt_tokens_per_second": ("tokens of the prompt, until then", "tokens/s"),
            "stall": ("longest gap of who writes", "s"),
            "usual_gap": ("their gaps before, median", "s"),
            "tokens_per_second_meanwhile": ("tokens they write meanwhile", "tokens/s")}

COMMON = 16  # tokens with which all prompts may begin, and which no cache need forget

LONGEST_BACKGROUND = 1024  # tokens, if nobody cuts it off before


def tests(options) -> dict[str, list[Ask]]:
    ask = Ask(options.prompt, options.generate)
    gaps = random.Random(options.seed)
    times = [0.0]
    while len(times) < options.askers:
        times.append(times[-1] + gaps.expovariate(1 / options.gap))
    writer = Ask(options.writer_prompt, LONGEST_BACKGROUND, background=True)
    long = Ask(options.long, 8)
    short = Ask(options.short, 8, ended=True)
    everything = {"a1": [ask] * options.askers,
                  "a2": [dataclasses.replace(ask, at=round(t, 3)) for t in times],
                  "a3": [Ask(options.short, options.generate)] * options.askers,
                  "b1": [long],
                  "b2": [writer] * options.writers + [dataclasses.replace(long, after=8)],
                  "c1": [short] * options.questions,
                  "c2": [writer] + [dataclasses.replace(short, after=16)] * options.questions}
    parts = options.parts.split(",")
    for part in parts:
        if not any(name.startswith(part) for name in everything) or not part:
            sys.exit(f"batching.py: there is no part {part!r}; there are a, b and c, and {', '.join(everything)}")
    return {name: asks for name, asks in everything.items() if any(name.startswith(part) for part in parts)}


def title(name: str, options) -> str:
    prompt = f"a prompt of {options.prompt} and {options.generate} tokens of answer each"
    return {"a1": f"{options.askers} at once, {prompt}",
            "a2": f"{options.askers} joining {options.gap:g} s apart on average, {prompt}",
            "a3": f"{options.askers} at once, a prompt of {options.short} and {options.generate} tokens of answer each",
            "b1": f"a prompt of {options.long:,}, alone",
            "b2": f"a prompt of {options.long:,} while {options.writers} write",
            "c1": f"a question of {options.short}, alone",
            "c2": f"a question of {options.short} while one long answer is written"}[name]


class Peer:
    """llama_batching, while the `with` lasts."""

    def __init__(self, program, libraries, options):
        self._process = subprocess.Popen(
            list(map(str, [program, libraries, options.model, options.threads, options.slots, options.cache])),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.communicate()

    def test(self, asks: list[Ask]) -> list[Answer]:
        lines = [f"{a.at} {a.after} {a.ended:d} {a.background:d} {a.prompt} {a.most}" for a in asks]
        self._process.stdin.write("\n".join([str(len(asks)), *lines]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise served.Failed("llama_batching ended before its answer")
        return [Answer(a["asked"], a["end"], [(t, 1) for t in a["times"]], ask.prompt, 0)
                for a, ask in zip(json.loads(line), asks)]


def measure(name: str, asks: list[Ask], answers: list[Answer]) -> dict[str, float | None]:
    return crowd(answers) if name.startswith("a") else joined(answers, asks)


def warn(name: str, asks: list[Ask], answers: list[Answer]) -> None:
    """Where the answers are not what was asked for, as figures would be of something else."""
    for ask, answer in zip(asks, answers):
        if answer.prompt not in (None, ask.prompt):
            print(f"{name}: a prompt has {answer.prompt} tokens in place of {ask.prompt}", file=sys.stderr)
            break
    cached = [a.cached for a in answers if (a.cached or 0) > COMMON]
    if cached:
        print(f"{name}: of {len(cached)} prompts up to {max(cached)} tokens were cached", file=sys.stderr)
    others = [a.end for ask, a in zip(asks, answers) if not ask.background]
    if any(ask.background and a.end < max(others) - 1 for ask, a in zip(asks, answers)):
        print(f"{name}: a writer came to its end before all others were answered", file=sys.stderr)
    short = [a for ask, a in zip(asks, answers) if not ask.background and round(a.tokens) < ask.most]
    if short:
        print(f"{name}: {len(short)} answers ended early", file=sys.stderr)


def shown(values: list[float | None], unit: str) -> str:
    """The median, and the range if there are several."""
    values = [v for v in values if v is not None]
    if not values:
        return "–"
    digits = 1 if unit == "tokens/s" or max(values) >= 10 else 2
    text = f"{statistics.median(values):.{digits}f} {unit}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def wanted(which: tuple[str, str], theirs: list[float | None]) -> str:
    kind, number = WANTED.get(which, (None, 0))
    values = [v for v in theirs if v is not None]
    if kind == "most":
        return f"at most {number:g} s"
    if kind == "times":
        return f"{number} times" + (f", {number * statistics.median(values):.1f}" if values else "")
    return ""


def table(runs: list[dict], options) -> str:
    version = peer.version() if "theirs" in options.sides else ""
    rows = [f"| | wanted | smollm3 | llama.cpp {version} |", "|---|---|---|---|"]
    for name in runs[0]:
        rows.append(f"| **{title(name, options)}** | | | |")
        sides = {side: [run[name][side]["measures"] for run in runs if side in run[name]]
                 for side in ("ours", "theirs")}
        measured = {key for measures in sides.values() for one in measures for key in one}
        for key in (key for key in MEASURES if key in measured):
            values = {side: [measures[key] for measures in sides[side]] for side in sides}
            label, unit = MEASURES[key]
            ours, theirs = (shown(values[side], unit) for side in ("ours", "theirs"))
            rows.append(f"| {label} | {wanted((name, key), values['theirs'])} | {ours} | {theirs} |")
    rows += ["", f"{machine()}; {options.threads} threads; medians (and range) of {options.repeat} alternating runs; "
             f"llama.cpp with {options.slots} slots, keys and values {options.cache}, and without HTTP."]
    return "\n".join(rows) + "\n"


def context_for(chosen: dict[str, list[Ask]]) -> int:
    """Positions for all askers of a part together: nobody is to wait for memory."""
    return (max(sum(ask.prompt + ask.most + 64 for ask in asks) for asks in chosen.values()) + 255) // 256 * 256


def parse_arguments():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--model", required=True)
    add("--smollm3", default=ROOT / "build/release/smollm3", help="the program (default: build/release/smollm3)")
    add("--smollm3-options", default="", help="further options of it before its command: --smollm3-options=--exact")
    add("--sides", default="ours,theirs", help="'ours' or 'theirs' measures only one")
    add("--threads", type=int, default=2)
    add("--parts", default="a,b,c")
    add("--askers", type=int, default=16, help="of part a (default: 16)")
    add("--prompt", type=int, default=512, help="tokens, in part a (default: 512)")
    add("--generate", type=int, default=128, help="tokens of an answer, in part a (default: 128)")
    add("--gap", type=float, default=2, help="seconds between those who join, on average (default: 2)")
    add("--seed", type=int, default=1, help="of the gaps (default: 1)")
    add("--writers", type=int, default=4, help="of part b (default: 4)")
    add("--writer-prompt", type=int, default=64, help="tokens, in parts b and c (default: 64)")
    add("--long", type=int, default=2048, help="tokens of the prompt that joins, in part b (default: 2048)")
    add("--short", type=int, default=32, help="tokens of a question, in part c, and of prompts in a3 (default: 32)")
    add("--questions", type=int, default=5, help="of part c (default: 5)")
    add("--slots", type=int, default=16, help="of llama.cpp's server (default: 16)")
    add("--cache", choices=("split", "unified"), default="split", help="llama.cpp's keys and values: of each slot, as "
        "its server has it with -np, or shared (default: split)")
    add("--repeat", type=int, default=1)
    add("--pause", type=float, default=5, help="seconds before each start, for the system to clear up the memory of "
        "the last one (default: 5)")
    add("--out", type=pathlib.Path, help="a JSON file for every figure and every time")
    options = arguments.parse_args()
    options.sides = options.sides.split(",")
    if not set(options.sides) <= {"ours", "theirs"}:
        arguments.error("--sides is 'ours', 'theirs' or both, separated by a comma")
    return options


def one_test(name: str, side: str, asks: list[Ask], program) -> dict:
    began = time.monotonic()
    answers = program.test(asks)
    warn(f"{name} {side}", asks, answers)
    measures = measure(name, asks, answers)
    figures = {key: None if v is None else round(v, 3) for key, v in measures.items()}
    print(f"{name} {side} {time.monotonic() - began:.1f} s: {json.dumps(figures)}", file=sys.stderr, flush=True)
    return {"measures": measures, "answers": [dataclasses.asdict(a) for a in answers]}


def main():
    options = parse_arguments()
    chosen = tests(options)
    runs: list[dict] = []
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        start = {}
        if "ours" in options.sides:
            start["ours"] = lambda seed: served.Server(options.smollm3, options.model, options.threads,
                                                       context_for(chosen), options.smollm3_options.split(), seed)
        if "theirs" in options.sides:
            program, libraries = peer.compile_peer(folder, pathlib.Path(__file__).with_name("llama_batching.cpp"))
            start["theirs"] = lambda seed: Peer(program, libraries, options)
        for repetition in range(options.repeat):
            run: dict = {name: {} for name in chosen}
            runs.append(run)
            for part in sorted({name[0] for name in chosen}):
                for side in start:
                    time.sleep(options.pause)
                    of_part = {name: asks for name, asks in chosen.items() if name[0] == part}
                    try:
                        with start[side](f"{options.seed} {repetition} {part}") as program_of_side:
                            for name, asks in of_part.items():
                                run[name][side] = one_test(name, side, asks, program_of_side)
                    except (served.Failed, OSError) as error:  # what else can be measured is
                        failed = True
                        print(f"batching.py: {part} {side}: {error}", file=sys.stderr)
                    save(runs, options)
    print(table(runs, options))
    sys.exit(1 if failed else 0)


def save(runs: list[dict], options) -> None:
    """After every part, so that what was measured outlives what comes next."""
    if options.out:
        settings = {key: str(v) if isinstance(v, pathlib.Path) else v for key, v in vars(options).items()}
        options.out.write_text(json.dumps({"machine": machine(), "options": settings, "runs": runs}) + "\n")


if __name__ == "__main__":
    main()
