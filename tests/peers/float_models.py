"""Small float models to quantise: normally distributed weights, and on request what such weights lack.

Trained models have a few channels of the residual stream far larger than the others, and attention that looks at few
positions. Both are hard on numbers of few bits: one large value sets the step for all that share its scale, and small
errors decide which position is looked at. No vocabulary: tokens are given by number.
"""
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import gguf_header as gguf  # noqa: E402

LAYERS, HIDDEN, FFN, HEADS, KV_HEADS, VOCABULARY = 4, 256, 512, 4, 2, 1024
HEAD = HIDDEN // HEADS
ENLARGED = 50    # times, the outlying channels
BRANCH = 0.3     # what a layer adds to the residual stream, beside what is there
SHARPENED = 2.5  # times, queries and keys

METADATA = [
    ("general.architecture", gguf.STR, "smollm3"),
    ("smollm3.block_count", gguf.U32, LAYERS),
    ("smollm3.context_length", gguf.U32, 65536),
    ("smollm3.embedding_length", gguf.U32, HIDDEN),
    ("smollm3.feed_forward_length", gguf.U32, FFN),
    ("smollm3.attention.head_count", gguf.U32, HEADS),
    ("smollm3.attention.head_count_kv", gguf.U32, KV_HEADS),
    ("smollm3.attention.layer_norm_rms_epsilon", gguf.F32, 1e-6),
    ("smollm3.rope.freq_base", gguf.F32, 5e6),
    ("smollm3.rope.dimension_count", gguf.U32, HEAD),
    ("smollm3.vocab_size", gguf.U32, VOCABULARY),
    ("tokenizer.ggml.model", gguf.STR, "none"),
]


def outlying(channels):
    """One in a hundred."""
    return np.arange(channels) % 100 == 37


def tensors(seed, outliers):
    """The embedding and what adds to the residual stream bring the outlying channels into it; the norms leave them in."""
    random = np.random.default_rng(seed)

    def gains(name):
        return name, 0, [HIDDEN], random.uniform(0.8, 1.2, HIDDEN).astype(np.float32).tobytes()

    def matrix(name, outputs, inputs, spread, outlying_rows=1, outlying_columns=1):
        weights = random.standard_normal((outputs, inputs), np.float32) * np.float32(spread)
        if outliers:
            weights[outlying(outputs)] *= np.float32(outlying_rows)
            weights[:, outlying(inputs)] *= np.float32(outlying_columns)
        return name, 0, [inputs, outputs], weights.tobytes()

    by_hidden = HIDDEN ** -0.5
    sharp = by_hidden * (SHARPENED if outliers else 1)
    yield matrix("token_embd.weight", VOCABULARY, HIDDEN, by_hidden, outlying_columns=ENLARGED)
    yield gains("output_norm.weight")
    yield matrix("output.weight", VOCABULARY, HIDDEN, 2 * by_hidden)
    for layer in range(LAYERS):
        blk = f"blk.{layer}."
        yield gains(blk + "attn_norm.weight")
        yield gains(blk + "ffn_norm.weight")
        yield matrix(blk + "attn_q.weight", HEADS * HEAD, HIDDEN, sharp)
        yield matrix(blk + "attn_k.weight", KV_HEADS * HEAD, HIDDEN, sharp)
        yield matrix(blk + "attn_v.weight", KV_HEADS * HEAD, HIDDEN, by_hidden)
        yield matrix(blk + "attn_output.weight", HIDDEN, HEADS * HEAD, BRANCH * by_hidden, ENLARGED)
        yield matrix(blk + "ffn_gate.weight", FFN, HIDDEN, by_hidden)
        yield matrix(blk + "ffn_up.weight", FFN, HIDDEN, by_hidden)
        yield matrix(blk + "ffn_down.weight", HIDDEN, FFN, BRANCH * FFN ** -0.5, ENLARGED)


def write(path, seed, outliers):
    gguf.write(path, 3, METADATA, list(tensors(seed, outliers)))


def types(path):
    """The types of a file's matrices."""
    return {t["type"] for t in gguf.read(path)["tensors"] if len(t["shape"]) == 2}
