#!/usr/bin/env python3
"""Writes tests/reference/golden_llama_cpp.txt: llama.cpp's logits of the small models in tests/reference/golden.cpp.

  golden.py --program build/test/golden_models [--out FILE]

For each model a line of its name and its file's fingerprint, then for each kept position a line of the logits. Keys and
values are F32, and llama.cpp's flash attention is off, so that it computes in single precision throughout.
"""
import argparse
import array
import pathlib
import subprocess
import tempfile

import peer

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--program", required=True)
arguments.add_argument("--out", type=pathlib.Path, default=peer.ROOT / "tests/reference/golden_llama_cpp.txt")
options = arguments.parse_args()

lines = []
with tempfile.TemporaryDirectory() as folder:
    llama, libraries = peer.compile_peer(folder)
    listing = subprocess.run([options.program, "llama_cpp", folder], check=True, capture_output=True, text=True).stdout
    for line in listing.splitlines():
        name, fingerprint, *positions = line.split()
        model, tokens, out = (pathlib.Path(folder) / f"{name}.{kind}" for kind in ("gguf", "tokens", "logits"))
        subprocess.run([llama, "logits", libraries, model, "1", "f32", tokens, out], check=True)
        logits = array.array("f", out.read_bytes())
        width = len(logits) // len(tokens.read_text().split())
        lines.append(f"{name} {fingerprint}")
        for position in map(int, positions):
            lines.append(" ".join(f"{x:.8g}" for x in logits[width * position:width * (position + 1)]))
options.out.write_text("\n".join(lines) + "\n")
