"""A reader of GGUF headers that shares nothing with the program's, to compare with; and a writer of odd ones."""
import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}
# Elements and bytes of a block.
TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
         8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
         14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18), 23: ("IQ4_XS", 256, 136), 30: ("BF16", 1, 2)}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, kind):
        value, = struct.unpack_from("<" + FORMATS[kind], self.data, self.at)
        self.at += struct.calcsize("<" + FORMATS[kind])
        return value

    def text(self):
        size = self.number(U64)
        self.at += size
        return self.data[self.at - size:self.at].decode("utf-8", "replace")

    def value(self, kind):
        if kind == STR:
            return self.text()
        if kind == ARR:
            inner, count = self.number(U32), self.number(U64)
            return [self.value(inner) for _ in range(count)]
        return self.number(kind)


def read(path):
    """What `inspect --json` is to print."""
    with open(path, "rb") as file:
        reader = Reader(file.read())
    assert reader.data[:4] == b"GGUF"
    reader.at = 4
    version, tensors, entries = reader.number(U32), reader.number(U64), reader.number(U64)
    report = {"version": version, "metadata": {}, "tensors": [], "counts": {}}
    for _ in range(entries):
        key = reader.text()
        report["metadata"][key] = reader.value(reader.number(U32))
    for _ in range(tensors):
        name = reader.text()
        shape = [reader.number(U64) for _ in range(reader.number(U32))]
        kind, block, size = TYPES[reader.number(U32)]
        offset = reader.number(U64)
        elements = 1
        for dimension in shape:
            elements *= dimension
        report["tensors"].append({"name": name, "type": kind, "shape": shape, "offset": offset, "bytes": elements // block * size})
        report["counts"][kind] = report["counts"].get(kind, 0) + 1
    return report


def pack(kind, value):
    if kind == STR:
        value = value if isinstance(value, bytes) else value.encode()
        return struct.pack("<Q", len(value)) + value
    if kind == ARR:
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(pack(inner, item) for item in items)
    return struct.pack("<" + FORMATS[kind], value)


def write(path, version, metadata, tensors=()):
    """metadata: (key, kind, value); tensors: (name, type, shape, data)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, kind, value in metadata:
        out += pack(STR, key) + struct.pack("<I", kind) + pack(kind, value)
    offset = 0
    for name, kind, shape, data in tensors:
        out += pack(STR, name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, offset)
        offset += -(-len(data) // 32) * 32
    out += bytes(-len(out) % 32)
    for _, _, _, data in tensors:
        out += data + bytes(-len(data) % 32)
    with open(path, "wb") as file:
        file.write(out)
