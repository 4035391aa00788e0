#!/usr/bin/env python3
"""Writes tests/reference/golden_transformers.txt: the logits that Hugging Face's transformers gives for small models.

  build/test/golden_models transformers FOLDER > FOLDER/models.txt
  transformers_golden.py FOLDER [--out FILE]

Needs NumPy, PyTorch and transformers, and no other file of this repository, so that it can run on another machine.
For each model of FOLDER/models.txt (its name, its file's fingerprint and the positions to keep) it writes a line of
the name and the fingerprint, then for each kept position a line of the logits. The model is transformers' own class
with eager attention, but every float32 in it is made a float64: the single precision that it asks for in RoPE, norms
and softmax would be most of the difference. How far it is from the class as it stands is printed. A model that fails
is told of and left out, and the exit status is 1.
"""
import argparse
import json
import math
import os
import pathlib
import struct
import sys
import traceback

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from torch.overrides import TorchFunctionMode
from transformers import SmolLM3Config, SmolLM3ForCausalLM

ROOT = pathlib.Path(__file__).resolve().parents[2]
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TYPE_F32 = 0
ALIGNMENT = 32


def read_gguf(path):
    """(metadata, {name: float32 array, its rows first}) of a GGUF v3 file with F32 tensors."""
    raw = path.read_bytes()
    at = 0

    def take(code):
        nonlocal at
        value, = struct.unpack_from("<" + code, raw, at)
        at += struct.calcsize("<" + code)
        return value

    def string():
        nonlocal at
        length = take("Q")
        at += length
        return raw[at - length:at].decode()

    def value(kind):
        if kind == STRING:
            return string()
        if kind == ARRAY:
            item, count = take("I"), take("Q")
            return [value(item) for _ in range(count)]
        return take(SCALARS[kind])

    if raw[:4] != b"GGUF" or struct.unpack_from("<I", raw, 4) != (3,):
        raise ValueError(f"{path} is not a GGUF v3 file")
    at = 8
    tensor_count, pair_count = take("Q"), take("Q")
    metadata = {}
    for _ in range(pair_count):
        key = string()
        metadata[key] = value(take("I"))
    entries = []
    for _ in range(tensor_count):
        name = string()
        shape = [take("Q") for _ in range(take("I"))][::-1]
        entries.append((name, shape, take("I"), take("Q")))
    start = at + -at % ALIGNMENT
    tensors = {}
    for name, shape, kind, offset in entries:
        if kind != TYPE_F32:
            raise ValueError(f"{path}: {name} is not F32")
        tensors[name] = np.frombuffer(raw, "<f4", math.prod(shape), start + offset).reshape(shape)
    return metadata, tensors


def rope_of(metadata):
    """(base, YaRN's factor or 1, positions before the stretch)."""
    yarn = metadata.get("smollm3.rope.scaling.type") == "yarn"
    return (float(metadata["smollm3.rope.freq_base"]),
            float(metadata["smollm3.rope.scaling.factor"]) if yarn else 1.0,
            metadata["smollm3.rope.scaling.original_context_length" if yarn else "smollm3.context_length"])


def make_config(metadata, tied, new_names):
    """`new_names`: RoPE is told as transformers 5 wants it, in rope_parameters, not in rope_theta and rope_scaling."""
    base, factor, original_context = rope_of(metadata)
    scaling = {}
    if factor != 1:
        scaling = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original_context}
    if new_names:
        rope = {"rope_parameters": {"rope_type": "default", "rope_theta": base} | scaling}
    else:
        rope = {"rope_theta": base, "rope_scaling": scaling or None}
    # NoPE layers are left to the class's own default. The default ids of special tokens lie outside a small vocabulary.
    config = SmolLM3Config(
        vocab_size=metadata["smollm3.vocab_size"],
        hidden_size=metadata["smollm3.embedding_length"],
        intermediate_size=metadata["smollm3.feed_forward_length"],
        num_hidden_layers=metadata["smollm3.block_count"],
        num_attention_heads=metadata["smollm3.attention.head_count"],
        num_key_value_heads=metadata["smollm3.attention.head_count_kv"],
        max_position_embeddings=metadata["smollm3.context_length"],
        # The metadata's float32 of 1e-6.
        rms_norm_eps=float(metadata["smollm3.attention.layer_norm_rms_epsilon"]),
        tie_word_embeddings=tied, pad_token_id=None, bos_token_id=None, eos_token_id=None, **rope)
    config._attn_implementation = "eager"
    return config


def as_halves(rows, heads):
    """GGUF's order of Q's and K's rows has the two that RoPE turns together side by side; transformers', half a head
    apart."""
    pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, rows.shape[1])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


LAYER_NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def state_of(metadata, tensors):
    """transformers' names and order of rows."""
    heads = {"attn_q": metadata["smollm3.attention.head_count"], "attn_k": metadata["smollm3.attention.head_count_kv"]}
    state = {}
    for name, array in tensors.items():
        if name.startswith("blk."):
            _, layer, kind, _ = name.split(".")
            if kind in heads:
                array = as_halves(array, heads[kind])
            state[f"model.layers.{layer}.{LAYER_NAMES[kind]}.weight"] = array
        else:
            state[{"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
                   "output.weight": "lm_head.weight"}[name]] = array
    state.setdefault("lm_head.weight", state["model.embed_tokens.weight"])  # the class has it when tied, too
    return {name: torch.from_numpy(array.copy()) for name, array in state.items()}


class Float32AsFloat64(TorchFunctionMode):
    """In its scope what asks PyTorch for float32 gets float64."""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        def widened(argument):
            return torch.float64 if argument is torch.float32 else argument

        if getattr(function, "__name__", "") == "float":
            function = torch.Tensor.double
        return function(*map(widened, arguments), **{k: widened(v) for k, v in (keywords or {}).items()})

    def __enter__(self):
        torch.set_default_dtype(torch.float64)
        return super().__enter__()

    def __exit__(self, *exception):
        torch.set_default_dtype(torch.float32)
        return super().__exit__(*exception)


def run(metadata, tensors, tokens, new_names):
    """The logits {position, token} at the precision in force."""
    config = make_config(metadata, "output.weight" not in tensors, new_names)
    model = SmolLM3ForCausalLM(config).to(torch.get_default_dtype()).eval()
    print("config:", json.dumps(config.to_dict(), default=str, sort_keys=True))
    print("attention:", model.config._attn_implementation, "layers with RoPE:", getattr(config, "no_rope_layers", None))
    print("scaling of cos and sin:", {value for module in model.modules() for name, value in vars(module).items()
                                      if name.endswith("attention_scaling")})
    print("head tied:", model.lm_head.weight is model.model.embed_tokens.weight)
    # Names of RoPE's parameters that this version does not know are ignored in silence.
    base, factor, _ = rope_of(metadata)
    for name, frequencies in model.named_buffers():
        if name.endswith("inv_freq") and "original" not in name:
            print(f"{name}:", frequencies.dtype, frequencies.tolist())
            pairs = frequencies.numel()
            slowest = base ** (-(pairs - 1) / pairs) / factor
            if not math.isclose(frequencies[-1].item(), slowest, rel_tol=1e-5):
                raise ValueError(f"RoPE's parameters were ignored: the slowest pair does not turn by {slowest}")
    missing, unexpected = model.load_state_dict(state_of(metadata, tensors), strict=False)
    if missing or unexpected:
        raise ValueError(f"tensors missing: {missing}; not known: {unexpected}")
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    print("logits:", logits.dtype, tuple(logits.shape))
    if not torch.isfinite(logits).all():
        raise ValueError("logits that are not finite")
    return logits.double().numpy()


def run_with_either_names(*arguments):
    new = int(transformers.__version__.split(".")[0]) >= 5
    try:
        return run(*arguments, new)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        print("again, with RoPE's parameters under their other names")
        return run(*arguments, not new)


def difference(a, b):
    """The largest, as a share of the range of its position's logits."""
    return (np.abs(a - b).max(1) / np.ptp(a, 1)).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/reference/golden_transformers.txt")
    options = parser.parse_args()

    print("transformers", transformers.__version__, "torch", torch.__version__, "numpy", np.__version__)
    lines = [f"# transformers {transformers.__version__}, torch {torch.__version__}"]
    failed = False
    for entry in (options.folder / "models.txt").read_text().splitlines():
        name, fingerprint, *positions = entry.split()
        print(f"\n== {name}")
        results = {}
        for precision in ("float32", "float64"):
            print(f"-- {precision}")
            try:
                metadata, tensors = read_gguf(options.folder / f"{name}.gguf")
                tokens = [int(token) for token in (options.folder / f"{name}.tokens").read_text().split()]
                if precision == "float64":
                    with Float32AsFloat64():
                        results[precision] = run_with_either_names(metadata, tensors, tokens)
                else:
                    results[precision] = run_with_either_names(metadata, tensors, tokens)
            except Exception:
                traceback.print_exc(file=sys.stdout)
                failed = True
        if len(results) == 2:
            print("difference of float32 from float64 / range:", difference(results["float64"], results["float32"]))
        if results:
            precision = max(results)  # float64 if there is one
            lines.append(f"# {precision}")
            lines.append(f"{name} {fingerprint}")
            for position in map(int, positions):
                lines.append(" ".join(f"{x:.8g}" for x in results[precision][position]))
    options.out.write_text("\n".join(lines) + "\n")
    print(f"\n{'SOME FAILED' if failed else 'all done'}: {options.out}, {options.out.stat().st_size} bytes")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
