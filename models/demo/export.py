"""Write a checkpoint as a GGUF file: export.py WORK_FOLDER [WORK_FOLDER …] OUT.gguf

Of several checkpoints it writes the mean of their weights: of two from one run it is better than either.
"""
import os
import sys

import torch

import bpe
import gguf
import model


def main():
    *works, out = sys.argv[1:]
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "template.jinja"), encoding="utf-8") as f:
        template = f.read()
    stored = [torch.load(os.path.join(work, "checkpoint.pt")) for work in works]
    weights = {n: sum(s["weights"][n] for s in stored) / len(stored) for n in stored[0]["weights"]}
    gguf.write(out, model.Config(), weights, bpe.Bpe.load(os.path.join(works[0], "vocab.json")), template)
    for work, s in zip(works, stored):
        print(f"{work}: {s['tokens'] / 1e6:.1f} M tokens, {s['steps']} steps")
    print(f"{out}: {os.path.getsize(out)} bytes")


if __name__ == "__main__":
    main()
