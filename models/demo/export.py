"""Write a checkpoint as a GGUF file: export.py WORK_FOLDER OUT.gguf"""
import os
import sys

import torch

import bpe
import gguf
import model


def main():
    work, out = sys.argv[1:]
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "template.jinja"), encoding="utf-8") as f:
        template = f.read()
    stored = torch.load(os.path.join(work, "checkpoint.pt"))
    gguf.write(out, model.Config(), stored["weights"], bpe.Bpe.load(os.path.join(work, "vocab.json")), template)
    print(f"{out}: {os.path.getsize(out)} bytes, {stored['tokens'] / 1e6:.1f} M tokens, {stored['steps']} steps")


if __name__ == "__main__":
    main()
