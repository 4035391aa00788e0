"""Write a checkpoint as a GGUF file: export.py WORK_FOLDER [WORK_FOLDER …] OUT.gguf

Of several checkpoints it writes the mean of their weights: of two from one run it is better than either.
"""
import os
import sys

import torch

import bpe
import gguf
import model


def write(out, weights, tokenizer):
    """The file of a network's weights, with the tokenizer and the chat template."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "template.jinja"), encoding="utf-8") as f:
        gguf.write(out, model.Config.of(weights), weights, tokenizer, f.read())


def main():
    *works, out = sys.argv[1:]
    stored = [torch.load(os.path.join(work, "checkpoint.pt"), map_location="cpu") for work in works]
    weights = {n: sum(s["weights"][n].float() for s in stored) / len(stored) for n in stored[0]["weights"]}
    write(out, weights, bpe.Bpe.load(os.path.join(works[0], "vocab.json")))
    for work, s in zip(works, stored):
        print(f"{work}: {s['tokens'] / 1e6:.1f} M tokens, {s['steps']} steps")
    print(f"{out}: {os.path.getsize(out)} bytes")


if __name__ == "__main__":
    main()
