#!/usr/bin/python3
"""Fidelity to float64, beside llama.cpp, in three parts; all of them unless some are named.

  fidelity.py --program build/test/fidelity [structure] [mix] [types]

structure: F32 files of make_model.py with keys and values in F32, with and without YaRN. Our logits are within 1e-4 of
the range of a position's logits, and llama.cpp's near enough to show that the reference itself is right.
mix: Q4_K_M files of make_model.py. types: float_models.py's files, with and without outliers and sharp attention, in
every type that llama.cpp makes of them. In both keys and values are F16, and our mean KL from float64 on the same
weights, pooled over the seeds, is at most 1.1 times llama.cpp's.

Where attention is sharp, the least difference decides which position is looked at, and chance makes one program's KL
twice the other's on a single file. Types of blocks of 32 are therefore bound together there, each alone by 1.3 only.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import peer

try:
    import float_models
except ImportError:
    peer.skip("python3-numpy is missing")

STRUCTURE_POSITIONS = 200
STRUCTURE_BOUND = 1e-4       # of the range of a position's logits, for both programs
KL_RATIO = 1.1
KL_RATIO_BY_CHANCE = 1.3     # of one type of BLOCKS_OF_32 where attention is sharp
VOCABULARY = 128000          # of make_model.py's files
TYPES = ("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS",
         "Q4_K_M")
BLOCKS_OF_32 = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL")
MIXES = {"Q4_K_M": {"Q4_K", "Q6_K"}}


class Comparison:
    def __init__(self, program, folder):
        self.program = program
        self.folder = pathlib.Path(folder)
        self.llama, self.libraries = peer.compile_peer(folder)

    def distances(self, model, kv, positions, seed, vocabulary):
        """From float64: {"ours": {…}, "other": {…}}."""
        tokens, logits = self.folder / "tokens", self.folder / "logits"
        generator = random.Random(seed)
        tokens.write_text(" ".join(str(generator.randrange(vocabulary)) for _ in range(positions)))
        subprocess.run([self.llama, "logits", self.libraries, model, "2", kv, tokens, logits], check=True)
        result = subprocess.run([self.program, model, tokens, kv, logits], check=True, capture_output=True, text=True)
        return json.loads(result.stdout)

    def make_model(self, kv, positions, seed, *options):
        """The same on one new file of make_model.py."""
        model = self.folder / "model.gguf"
        peer.make_model(model, "--shape", "tiny", "--seed", seed, *options)
        return self.distances(model, kv, positions, seed, VOCABULARY)

    def quantised(self, floats, kind, positions, seed):
        """The same on a file that llama.cpp makes of `floats`."""
        model = self.folder / "quantised.gguf"
        subprocess.run([self.llama, "quantize", self.libraries, floats, "2", kind, model], check=True)
        got = float_models.types(model)
        if got != MIXES.get(kind, {kind}):
            sys.exit(f"fidelity.py: llama.cpp made matrices of {got} where {kind} was asked for")
        return self.distances(model, "f16", positions, seed, float_models.VOCABULARY)


class Pooled:
    """Mean KLs of both programs over the seeds."""

    def __init__(self):
        self.ours, self.other, self.ratios = [], [], []

    def add(self, result):
        ours, other = result["ours"]["mean_kl"], result["other"]["mean_kl"]
        self.ours.append(ours)
        self.other.append(other)
        self.ratios.append(ours / other)

    def add_all(self, pooled):
        self.ours += pooled.ours
        self.other += pooled.other
        self.ratios += pooled.ratios

    def ratio(self):
        return sum(self.ours) / sum(self.other)

    def __str__(self):
        count = len(self.ratios)
        return (f"ours {sum(self.ours) / count:.3g}, llama.cpp {sum(self.other) / count:.3g}, ratio {self.ratio():.3f}"
                f" (single seeds {min(self.ratios):.2f} to {max(self.ratios):.2f})")


def structure(comparison, _):
    failed = False
    print(f"F32 weights, F32 keys and values, {STRUCTURE_POSITIONS} positions: largest difference / range")
    for name, options in (("without YaRN", ()), ("with YaRN", ("--yarn", "2"))):
        result = comparison.make_model("f32", STRUCTURE_POSITIONS, 1, "--float", *options)
        ours, other = (result[side]["worst_of_range"] for side in ("ours", "other"))
        print(f"  {name}: ours {ours:.3g}, llama.cpp {other:.3g}", flush=True)
        failed |= not ours <= STRUCTURE_BOUND or not other <= STRUCTURE_BOUND
    return failed


def mix(comparison, options):
    print(f"Q4_K_M, F16 keys and values, --embd-std {options.spread}: mean KL from float64 over {options.seeds} seeds of"
          f" {options.positions} positions, in nats")
    pooled = Pooled()
    for seed in range(1, options.seeds + 1):
        pooled.add(comparison.make_model("f16", options.positions, seed, "--embd-std", options.spread))
    print(f"  {pooled}", flush=True)
    return not pooled.ratio() <= KL_RATIO


def types(comparison, options):
    failed = False
    floats = comparison.folder / "floats.gguf"
    for outliers, seeds in ((False, options.type_seeds), (True, options.outlier_seeds)):
        print(f"{'with outliers and sharp attention' if outliers else 'normal weights'}: mean KL from float64 over {seeds}"
              f" seeds of {options.type_positions} positions, in nats")
        pooled = {kind: Pooled() for kind in TYPES}
        for seed in range(1, seeds + 1):
            float_models.write(floats, seed, outliers)
            for kind in TYPES:
                pooled[kind].add(comparison.quantised(floats, kind, options.type_positions, seed))
        for kind in TYPES:
            print(f"  {kind}: {pooled[kind]}", flush=True)
            by_chance = outliers and kind in BLOCKS_OF_32
            failed |= not pooled[kind].ratio() <= (KL_RATIO_BY_CHANCE if by_chance else KL_RATIO)
        together = Pooled()
        for kind in BLOCKS_OF_32:
            together.add_all(pooled[kind])
        print(f"  types of blocks of 32 together: {together}", flush=True)
        failed |= not together.ratio() <= KL_RATIO
    return failed


PARTS = {"structure": structure, "mix": mix, "types": types}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", required=True)
    arguments.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--positions", type=int, default=192)
    arguments.add_argument("--spread", default="0.1", help="of the embeddings: 0.1 makes the distributions peaked")
    arguments.add_argument("--type-seeds", type=int, default=3)
    arguments.add_argument("--outlier-seeds", type=int, default=10, help="more, since single seeds differ more")
    arguments.add_argument("--type-positions", type=int, default=256)
    options = arguments.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        arguments.error(f"no part is called {unknown.pop()}")
    parts = options.parts or list(PARTS)
    if set(parts) != {"types"}:
        peer.make_model_tool()
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(options.program, folder)
        print(f"beside llama.cpp {peer.version()}")
        failed = False
        for part in parts:
            failed |= PARTS[part](comparison, options)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
