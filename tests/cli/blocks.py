"""The values of a GGUF file's tensors, decoded by the definitions of the block formats, in plain Python."""
import array
import struct

import gguf_header as gguf


def halves(data):
    return struct.unpack(f"<{len(data) // 2}e", data)


def f32(data):
    return array.array("f", data)


def bf16(data):
    return [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]


def q8_0(data):
    out = []
    for at in range(0, len(data), 34):
        d, = halves(data[at:at + 2])
        out += [d * q for q in struct.unpack("32b", data[at + 2:at + 34])]
    return out


def group_scale(packed, j):
    """Scale and min, of six bits each; the upper groups' top bits lie above the lower ones'."""
    if j < 4:
        return packed[j] & 63, packed[j + 4] & 63
    return packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4


def affine(data, size, bits_of):
    out = []
    for at in range(0, len(data), size):
        d, dmin = halves(data[at:at + 4])
        for j in range(8):
            scale, least = group_scale(data[at + 4:at + 16], j)
            out += [d * scale * bits_of(data, at + 16, j, i) - dmin * least for i in range(32)]
    return out


def nibble(data, at, j, i):
    return data[at + j // 2 * 32 + i] >> 4 * (j % 2) & 15


def q4_k(data):
    return affine(data, 144, nibble)


def q5_k(data):
    return affine(data, 176, lambda data, at, j, i: nibble(data, at + 32, j, i) | (data[at + i] >> j & 1) << 4)


def q6_k(data):
    out = []
    for at in range(0, len(data), 210):
        low, high, scales = data[at:at + 128], data[at + 128:at + 192], struct.unpack("16b", data[at + 192:at + 208])
        d, = halves(data[at + 208:at + 210])
        for i in range(256):
            half, k, column = i // 128, i % 128 // 32, i % 32
            q = low[half * 64 + k % 2 * 32 + column] >> 4 * (k // 2) & 15 | (high[half * 32 + column] >> 2 * k & 3) << 4
            out.append(d * scales[i // 16] * (q - 32))
    return out


DECODERS = {"F32": f32, "F16": halves, "BF16": bf16, "Q8_0": q8_0, "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k}


def tensors(file):
    """{name: (type, values)}, rows one after another."""
    report = gguf.read(file)
    with open(file, "rb") as stream:
        data = stream.read()
    begin = len(data) - sum(-(-t["bytes"] // 32) * 32 for t in report["tensors"])
    out = {}
    for tensor in report["tensors"]:
        at = begin + tensor["offset"]
        out[tensor["name"]] = (tensor["type"], DECODERS[tensor["type"]](data[at:at + tensor["bytes"]]))
    return out
