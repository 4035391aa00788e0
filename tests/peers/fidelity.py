#!/usr/bin/env python3
"""Fidelity to float64, beside llama.cpp, on files that make_model.py writes.

  fidelity.py --program build/test/fidelity [--seeds 10] [--positions 192]

First the structure, on F32 files with keys and values in F32, with and without YaRN: our logits within 1e-4 of the
range of a position's logits, and llama.cpp's near enough to show that the reference itself is right. Then Q4_K_M files,
keys and values in F16, pooled over the seeds: our mean KL from float64 at most 1.1 times llama.cpp's.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import peer

STRUCTURE_POSITIONS = 200
STRUCTURE_BOUND = 1e-4       # of the range of a position's logits
REFERENCE_BOUND = 1e-3       # the same for llama.cpp, whose attention rounds to F16 on the way
KL_RATIO = 1.1


class Comparison:
    def __init__(self, program, folder):
        self.program = program
        self.folder = pathlib.Path(folder)
        self.llama, self.libraries = peer.compile_peer(folder)

    def run(self, kv, positions, seed, *options):
        """Distances from float64 on one new file: {"ours": {…}, "other": {…}}."""
        model, tokens, logits = (self.folder / name for name in ("model.gguf", "tokens", "logits"))
        peer.make_model(model, "--shape", "tiny", "--seed", seed, *options)
        generator = random.Random(seed)
        tokens.write_text(" ".join(str(generator.randrange(128000)) for _ in range(positions)))
        subprocess.run([self.llama, "logits", self.libraries, model, "2", kv, tokens, logits], check=True)
        result = subprocess.run([self.program, model, tokens, kv, logits], check=True, capture_output=True, text=True)
        model.unlink()
        return json.loads(result.stdout)


def structure(comparison):
    failed = False
    print(f"F32 weights, F32 keys and values, {STRUCTURE_POSITIONS} positions: largest difference / range")
    for name, options in (("without YaRN", ()), ("with YaRN", ("--yarn", "2"))):
        result = comparison.run("f32", STRUCTURE_POSITIONS, 1, "--float", *options)
        ours, other = (result[side]["worst_of_range"] for side in ("ours", "other"))
        print(f"  {name}: ours {ours:.3g}, llama.cpp {other:.3g}", flush=True)
        failed |= not ours <= STRUCTURE_BOUND or not other <= REFERENCE_BOUND
    return failed


def divergence(comparison, seeds, positions, spread):
    print(f"Q4_K_M, F16 keys and values, --embd-std {spread}: mean KL from float64 over {positions} positions, in nats")
    total = {"ours": 0.0, "other": 0.0}
    for seed in range(1, seeds + 1):
        result = comparison.run("f16", positions, seed, "--embd-std", spread)
        for side in total:
            total[side] += result[side]["mean_kl"] / seeds
        ours, other = (result[side]["mean_kl"] for side in total)
        print(f"  seed {seed}: ours {ours:.4g}, llama.cpp {other:.4g}", flush=True)
    ratio = total["ours"] / total["other"]
    print(f"  pooled: ours {total['ours']:.4g}, llama.cpp {peer.version()} {total['other']:.4g}, ratio {ratio:.3f}")
    return not ratio <= KL_RATIO


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", required=True)
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--positions", type=int, default=192)
    arguments.add_argument("--spread", default="0.1", help="of the embeddings: 0.1 makes the distributions peaked")
    options = arguments.parse_args()
    peer.make_model_tool()
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(options.program, folder)
        failed = structure(comparison)
        failed |= divergence(comparison, options.seeds, options.positions, options.spread)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
