"""`quantize` beside llama.cpp, tensor by tensor: the same types, and an error of at most 1.01 times its own.

quantise-reference.json holds what llama.cpp chose, and its error, for the file that make_model.py --shape tiny --float
--seed 1 writes. Both lie in the folder that $SMOLLM3_SHARED names; exit code 77 (skipped) where they do not.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("skipped: python3-numpy is missing")
    sys.exit(77)

import gguf_header as gguf

SHARED = pathlib.Path(os.environ.get("SMOLLM3_SHARED", pathlib.Path(__file__).resolve().parents[3] / "shared"))
ALLOWED = 1.01


def halves(blocks, at):
    return blocks[:, at:at + 2].copy().view(np.float16).astype(np.float32)


def f32(data):
    return data.view(np.float32)


def q8_0(data):
    blocks = data.reshape(-1, 34)
    return halves(blocks, 0) * blocks[:, 2:].view(np.int8).astype(np.float32)


def affine(blocks, q):
    """q: blocks × 8 groups × 32."""
    packed = blocks[:, 4:16]
    low, high = packed[:, :8] & 63, packed[:, :8] >> 6 << 4
    scales = np.concatenate([low[:, :4], packed[:, 8:] & 15 | high[:, :4]], 1).astype(np.float32)
    mins = np.concatenate([low[:, 4:], packed[:, 8:] >> 4 | high[:, 4:]], 1).astype(np.float32)
    return (halves(blocks, 0) * scales)[:, :, None] * q - (halves(blocks, 2) * mins)[:, :, None]


def nibbles(bytes_of_q):
    pairs = bytes_of_q.reshape(-1, 4, 1, 32)
    return np.concatenate([pairs & 15, pairs >> 4], 2).reshape(-1, 8, 32)


def q4_k(data):
    blocks = data.reshape(-1, 144)
    return affine(blocks, nibbles(blocks[:, 16:]).astype(np.float32))


def q5_k(data):
    blocks = data.reshape(-1, 176)
    fifth = blocks[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[None, :, None] & 1
    return affine(blocks, (nibbles(blocks[:, 48:]) | fifth << 4).astype(np.float32))


def q6_k(data):
    blocks = data.reshape(-1, 210)
    low = blocks[:, :128].reshape(-1, 2, 1, 64)
    low = np.concatenate([low & 15, low >> 4], 2).reshape(-1, 2, 4, 32)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.arange(0, 8, 2, dtype=np.uint8)[None, None, :, None] & 3
    q = (low | high << 4).astype(np.float32).reshape(-1, 16, 16) - 32
    scales = blocks[:, 192:208].view(np.int8).astype(np.float32)
    return (halves(blocks, 208) * scales)[:, :, None] * q


DECODERS = {"F32": f32, "Q8_0": q8_0, "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k}


class Model:
    def __init__(self, file):
        tensors = gguf.read(file)["tensors"]
        data = np.memmap(file, np.uint8, "r")
        begin = len(data) - sum(-(-t["bytes"] // 32) * 32 for t in tensors)
        self.types = {t["name"]: t["type"] for t in tensors}
        self.data = {t["name"]: data[begin + t["offset"]:begin + t["offset"] + t["bytes"]] for t in tensors}

    def pieces(self, name, count=8):
        """The values, an eighth at a time: the embedding as float64 would take half a gigabyte."""
        decode = DECODERS[self.types[name]]
        for piece in np.split(self.data[name], count):
            yield decode(np.ascontiguousarray(piece)).reshape(-1)


def relative_error(model, floats, name):
    error = size = 0.0
    for x, y in zip(floats.pieces(name), model.pieces(name), strict=True):
        error += np.square(x - y, dtype=np.float64).sum()
        size += np.square(x, dtype=np.float64).sum()
    return (error / size) ** 0.5


def compare(recipe, reference, model, floats):
    """The number of tensors that miss what is asked; prints a line for each type and for each miss."""
    missed, ratios = 0, {}
    for name, (kind, theirs) in reference.items():
        if model.types[name] != kind:
            print(f"{recipe} {name}: {model.types[name]} where llama.cpp has {kind}")
            missed += 1
            continue
        ours = relative_error(model, floats, name)
        ratios.setdefault(kind, []).append((ours / theirs, ours, theirs))
        if not ours <= ALLOWED * theirs:
            print(f"{recipe} {name}: {kind} error {ours:.6f}, llama.cpp {theirs:.6f}")
            missed += 1
    others = {name: kind for name, kind in model.types.items() if name not in reference}
    if set(others.values()) != {"F32"} or not all(np.array_equal(model.data[n], floats.data[n]) for n in others):
        print(f"{recipe}: a tensor that is to stay F32 did not")
        missed += 1
    for kind, all_of_it in ratios.items():
        ratio, ours, theirs = (sum(column) / len(all_of_it) for column in zip(*all_of_it))
        print(f"{recipe} {kind}: {len(all_of_it)} tensors, mean error {ours:.5f}, llama.cpp {theirs:.5f}, "
              f"ratio {ratio:.3f}, worst {max(all_of_it)[0]:.3f}")
    return missed


def main():
    program = os.environ["SMOLLM3_PROGRAM"]
    tool, vocab, figures = (SHARED / name for name in ("tools/make_model.py", "data/llama-bpe-vocab.gguf",
                                                       "data/quantise-reference.json"))
    for file in (tool, vocab, figures):
        if not file.is_file():
            print(f"skipped: {file} is missing (SMOLLM3_SHARED names the folder)")
            return 77
    recipes = json.loads(figures.read_text())["recipes"]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="smollm3-quantise-") as folder:
        source, out = f"{folder}/float.gguf", f"{folder}/out.gguf"
        subprocess.run([sys.executable, tool, "--shape", "tiny", "--float", "--seed", "1", "--vocab", vocab, "--out", source],
                       check=True, stderr=subprocess.DEVNULL)
        floats = Model(source)
        for recipe, reference in recipes.items():
            subprocess.run([program, *sys.argv[1:], "--quiet", "quantize", source, out, "--type", recipe], check=True)
            missed += compare(recipe, reference, Model(out), floats)
    return 1 if missed or not recipes else 0


sys.exit(main())
