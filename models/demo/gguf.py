"""Read and write the model as a GGUF v3 file: matrices in Q8_0, norms in F32, the tokenizer and the chat template inside."""
import struct

import numpy as np
import torch

import bpe as bpe_module
import chat

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}
TYPE_F32, TYPE_Q8_0 = 0, 8
ALIGNMENT, BLOCK = 32, 32
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
FILE_TYPE_Q8_0 = 7


def quantised(matrix):
    """Q8_0: blocks of 32 along a row, a float16 scale and 32 int8 each."""
    blocks = matrix.astype(np.float32).reshape(-1, BLOCK)
    scale = np.abs(blocks).max(1, keepdims=True) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    q = np.round(blocks * inverse).astype(np.int8)
    return np.concatenate([scale.astype(np.float16).view(np.uint8), q.view(np.uint8)], 1).tobytes()


def expanded(raw, shape):
    """The float32 matrix of Q8_0 bytes."""
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, BLOCK + 2)
    scale = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
    return (np.ascontiguousarray(blocks[:, 2:]).view(np.int8) * scale).reshape(shape)


def metadata(config, bpe, template):
    token_types = [CONTROL if t in chat.CONTROL else USER_DEFINED if t in chat.SPECIAL_SET else NORMAL for t in bpe.tokens]
    return {
        "general.architecture": (STRING, "smollm3"),
        "general.name": (STRING, "SmolLM3 demo"),
        "general.description": (STRING, "A very small model with SmolLM3's structure, trained to demonstrate smollm3.cpp"),
        "general.license": (STRING, "mit"),
        "general.file_type": (U32, FILE_TYPE_Q8_0),
        "general.quantization_version": (U32, 2),
        "smollm3.block_count": (U32, config.layers),
        "smollm3.context_length": (U32, config.context),
        "smollm3.embedding_length": (U32, config.hidden),
        "smollm3.feed_forward_length": (U32, config.ffn),
        "smollm3.attention.head_count": (U32, config.heads),
        "smollm3.attention.head_count_kv": (U32, config.kv_heads),
        "smollm3.attention.layer_norm_rms_epsilon": (F32, config.epsilon),
        "smollm3.rope.freq_base": (F32, config.rope_base),
        "smollm3.rope.dimension_count": (U32, config.head_size),
        "smollm3.vocab_size": (U32, config.vocab),
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "smaug-bpe"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, bpe.tokens)),
        "tokenizer.ggml.token_type": (ARRAY, (I32, token_types)),
        "tokenizer.ggml.merges": (ARRAY, (STRING, [" ".join(m) for m in bpe.merges])),
        "tokenizer.ggml.bos_token_id": (U32, bpe.special["<|endoftext|>"]),
        "tokenizer.ggml.eos_token_id": (U32, bpe.special["<|im_end|>"]),
        "tokenizer.ggml.padding_token_id": (U32, bpe.special["<|endoftext|>"]),
        "tokenizer.ggml.add_bos_token": (BOOL, False),
        "tokenizer.chat_template": (STRING, template),
    }


def _packed_string(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def _packed(kind, value):
    if kind == STRING:
        return _packed_string(value)
    if kind == ARRAY:
        item, items = value
        return struct.pack("<IQ", item, len(items)) + b"".join(_packed(item, x) for x in items)
    return struct.pack("<" + PACK[kind], value)


def write(path, config, weights, bpe, template):
    """`weights`: name -> float tensor of the shapes in Config.shapes()."""
    pairs = metadata(config, bpe, template)
    tensors = []
    for name, shape in config.shapes().items():
        array = weights[name].detach().float().cpu().numpy()
        assert array.shape == tuple(shape), name
        tensors.append((name, shape[::-1], *((TYPE_F32, array.tobytes()) if array.ndim == 1 else (TYPE_Q8_0, quantised(array)))))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(_packed_string(k) + struct.pack("<I", kind) + _packed(kind, v) for k, (kind, v) in pairs.items())
    at, body = 0, b""
    for name, dims, kind, raw in tensors:
        head += _packed_string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<IQ", kind, at)
        padded = raw + b"\0" * (-len(raw) % ALIGNMENT)
        at += len(padded)
        body += padded
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGNMENT) + body)


def read(path):
    """(metadata {key: value}, tensors {name: float32 array}) of a file with F32 and Q8_0 tensors."""
    with open(path, "rb") as f:
        raw = f.read()
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
        return take(PACK[kind])

    if raw[:4] != b"GGUF":
        raise ValueError(f"{path}: not a GGUF file")
    at = 8
    tensor_count, pair_count = take("Q"), take("Q")
    pairs = {}
    for _ in range(pair_count):
        key = string()
        pairs[key] = value(take("I"))
    infos = []
    for _ in range(tensor_count):
        name = string()
        dims = [take("Q") for _ in range(take("I"))]
        infos.append((name, dims[::-1], take("I"), take("Q")))
    base = at + -at % ALIGNMENT
    tensors = {}
    for name, shape, kind, offset in infos:
        count = int(np.prod(shape))
        size = count * 4 if kind == TYPE_F32 else count // BLOCK * (BLOCK + 2)
        part = raw[base + offset:base + offset + size]
        tensors[name] = np.frombuffer(part, np.float32).reshape(shape).copy() if kind == TYPE_F32 else expanded(part, shape)
    return pairs, tensors


def read_weights(path, config):
    """The tensors of a file that must have `config`'s shapes, for PyTorch."""
    _, tensors = read(path)
    for name, shape in config.shapes().items():
        if name not in tensors or tensors[name].shape != tuple(shape):
            raise ValueError(f"{path}: tensor {name} is not of shape {shape}")
    for name in tensors.keys() - config.shapes().keys():
        raise ValueError(f"{path}: tensor {name} is not one of {config.layers} layers")
    return {name: torch.from_numpy(tensors[name]) for name in config.shapes()}


def read_bpe(path):
    """The tokenizer of a file."""
    pairs, _ = read(path)
    merges = [m.split(" ") for m in pairs["tokenizer.ggml.merges"]]
    return bpe_module.Bpe(pairs["tokenizer.ggml.tokens"], merges, chat.SPECIALS)
