"""A GGUF file as Python values, and as bytes of which every count, length, type, dimension and offset is known."""
import copy
import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


class Array:
    def __init__(self, kind, items, count=None):
        self.kind, self.items, self.count = kind, items, count


class Tensor:
    def __init__(self, name, kind, shape, data, offset=None):
        self.name, self.kind, self.shape, self.data, self.offset = name, kind, shape, data, offset


class File:
    """metadata: [key, kind, value]; a count or an offset that is not None stands in the file in place of the true one."""

    def __init__(self):
        self.magic, self.version, self.alignment = b"GGUF", 3, 32
        self.metadata, self.tensors = [], []
        self.entry_count = self.tensor_count = None

    def copy(self):
        return copy.deepcopy(self)

    def entry(self, key):
        return next(entry for entry in self.metadata if entry[0] == key)

    def set(self, key, kind, value):
        for entry in self.metadata:
            if entry[0] == key:
                entry[1:] = [kind, value]
                return
        self.metadata.append([key, kind, value])

    def remove(self, key):
        self.metadata = [entry for entry in self.metadata if entry[0] != key]

    def tensor(self, name):
        return next(tensor for tensor in self.tensors if tensor.name == name)

    def bytes(self):
        return Writer(self).out

    def bytes_and_fields(self):
        writer = Writer(self)
        return writer.out, writer.fields


class Writer:
    def __init__(self, file):
        self.out = bytearray(file.magic)
        self.fields = []  # (where, how many bytes)
        self.number(U32, file.version)
        self.number(U64, len(file.tensors) if file.tensor_count is None else file.tensor_count)
        self.number(U64, len(file.metadata) if file.entry_count is None else file.entry_count)
        for key, kind, value in file.metadata:
            self.text(key)
            self.number(U32, kind)
            self.value(kind, value)
        end = 0
        for tensor in file.tensors:
            self.text(tensor.name)
            self.number(U32, len(tensor.shape))
            for size in tensor.shape:
                self.number(U64, size)
            self.number(U32, tensor.kind)
            self.number(U64, end if tensor.offset is None else tensor.offset)
            end += self.padded(len(tensor.data), file.alignment)
        self.header_size = len(self.out)
        self.out += bytes(-len(self.out) % file.alignment)
        for tensor in file.tensors:
            self.out += tensor.data + bytes(-len(tensor.data) % file.alignment)

    @staticmethod
    def padded(size, alignment):
        return -(-size // alignment) * alignment

    def number(self, kind, value):
        packed = struct.pack("<" + FORMATS[kind], value)
        self.fields.append((len(self.out), len(packed)))
        self.out += packed

    def text(self, value):
        value = value if isinstance(value, (bytes, bytearray)) else value.encode()
        self.number(U64, len(value))
        self.out += value

    def value(self, kind, value):
        if kind == STR:
            self.text(value)
        elif kind == ARR and not isinstance(value, bytes):
            self.number(U32, value.kind)
            self.number(U64, len(value.items) if value.count is None else value.count)
            for item in value.items:
                self.value(value.kind, item)
        elif kind in FORMATS:
            self.number(kind, value)
        else:  # bytes as they are
            self.out += value
