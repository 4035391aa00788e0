"""Files made by hand. Each has the words that its error must hold; none if the file is to run."""
import bisect
import math
import struct

from gguf_file import ARR, BOOL, F32, F64, I32, I64, STR, U32, U64, U8, Array, Tensor, Writer
from small_model import quantised_model, small_model

ARCHITECTURE = "smollm3."


def cases():
    """(name, bytes, words)"""
    yield from valid()
    yield from headers()
    yield from metadata()
    yield from dimensions()
    yield from tensors()
    yield from vocabularies()
    yield from templates()


def changed(change, base=small_model):
    file = base()
    change(file)
    return bytes(file.bytes())


def setting(key, kind, value):
    return changed(lambda file: file.set(key, kind, value))


def valid():
    yield "small", changed(lambda file: None), None
    yield "quantised", changed(lambda file: None, quantised_model), None
    yield "version 2", changed(lambda file: setattr(file, "version", 2)), None
    yield "a byte after the end", changed(lambda file: None) + b"x", None

    def realign(file, alignment):
        file.alignment = alignment
        file.set("general.alignment", U32, alignment)
    for alignment in (4, 64, 4096, 1 << 16):
        yield f"alignment {alignment}", changed(lambda file: realign(file, alignment)), None
    for alignment in (1, 2):  # allowed by the format; floats must lie on fours all the same
        def misalign(file):
            realign(file, alignment)
            for length in range(4):
                file.set("x", STR, "x" * length)
                if Writer(file).header_size % 4 == 2:
                    break
        yield f"alignment {alignment}", changed(misalign), ("four bytes",)


def headers():
    for text, words in ((b"", ("is empty",)), (b"G", ("ends inside the magic",)), (b"GGUF", ("ends inside the header",)), (b"GGML" + bytes(99), ("not a GGUF",)),
                        (b"GGUF" + bytes(99), ("version 0",)), (b"GGUF\0\0\0\3" + bytes(99), ("big-endian",)), (b"GGUF\1\0\0\0" + bytes(99), ("version 1",)),
                        (b"GGUF\4\0\0\0" + bytes(99), ("version 4",)), (b"PK\3\4" + bytes(99), ("not a GGUF",)), (bytes(100000), ("not a GGUF",))):
        yield f"begins with {text[:8]}", text, words
    for which in ("entry_count", "tensor_count"):
        for count in (2**16 + 1, 2**20, 2**32, 2**32 + 1, 2**60, 2**63, 2**64 - 1):
            yield f"{which} {count}", changed(lambda file: setattr(file, which, count)), ()
    yield "65,537 entries", changed(lambda file: file.metadata.extend([f"k{i}", U8, 0] for i in range(65537))), ("65560 metadata entries",)
    yield "60,000 entries", changed(lambda file: file.metadata.extend([f"k{i}", U8, 0] for i in range(60000))), None
    yield "60,000 tensors", changed(lambda file: file.tensors.extend(Tensor(f"t{i}", 0, [1], b"1234") for i in range(60000))), ("60038 tensors",)
    yield "70,000 tensors", changed(lambda file: file.tensors.extend(Tensor(f"t{i}", 0, [1], b"1234") for i in range(70000))), ("70038 tensors",)


def metadata():
    yield "an array of arrays", setting("x", ARR, Array(ARR, [Array(U8, [1])])), ("array of arrays",)
    deep = struct.pack("<IQ", ARR, 1) * 100000 + struct.pack("<IQ", U8, 0)
    yield "arrays 100,000 deep", changed(lambda file: file.metadata.append(["x", ARR, deep])), ("array of arrays",)
    for kind in (13, 14, 255, 2**31, 2**32 - 1):
        yield f"a value of type {kind}", changed(lambda file: file.metadata.append(["x", kind, b""])), (f"type {kind}",)
    for kind in (U8, U64, STR):
        for count in (2**31, 2**32, 2**60, 2**61, 2**61 + 1, 2**63, 2**64 - 1):
            yield f"an array of {count} of type {kind}", setting("x", ARR, Array(kind, [], count)), ("array",)
    twins = lambda file: file.metadata.append(list(file.metadata[0]))
    yield "two entries of one name", changed(twins), ("two metadata entries named general.architecture",)
    yield "two entries of one long name", changed(lambda file: file.metadata.extend([["x" * 100000, U8, 1]] * 2)), ("two metadata entries named xxx",)
    for key in ("general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre", "smollm3.rope.scaling.type"):
        for value in ("", "x" * 1000000, "a\nb", b"\xff\xfe\0"):
            yield f"{key} is {value[:4]!r}", setting(key, STR, value), ()
        yield f"{key} is a number", setting(key, U32, 1), (key, "not a string")
    yield "a name of a million letters", setting("general.name", STR, "x" * 1000000), None
    for alignment in (0, 3, 31, 33, 2**21, 2**31, 2**32 - 1):
        yield f"alignment {alignment}", setting("general.alignment", U32, alignment), (f"alignment of {alignment}",)
    yield "alignment of 64 bits", setting("general.alignment", U64, 2**63), (f"alignment of {2**63}",)
    yield "alignment below zero", setting("general.alignment", I64, -32), ("general.alignment", "whole number")
    yield "alignment as a text", setting("general.alignment", STR, "32"), ("general.alignment", "whole number")
    yield "alignment past the end", setting("general.alignment", U32, 1 << 20), ("alignment",)


def dimensions():
    for key in ("block_count", "embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv", "attention.key_length",
                "attention.value_length", "rope.dimension_count", "vocab_size", "context_length"):
        for value in (0, 2**24 + 1, 2**31, 2**32 - 1):
            yield f"{key} {value}", setting(ARCHITECTURE + key, U32, value), ()
        yield f"{key} of 64 bits", setting(ARCHITECTURE + key, U64, 2**64 - 1), ()
        yield f"{key} below zero", setting(ARCHITECTURE + key, I32, -1), (key, "whole number")
        yield f"{key} as a number with a point", setting(ARCHITECTURE + key, F32, 32.0), (key, "whole number")
        yield f"{key} as an array", setting(ARCHITECTURE + key, ARR, Array(U32, [32])), (key, "whole number")
    for key in ("block_count", "embedding_length", "feed_forward_length", "attention.head_count", "context_length"):
        yield f"without {key}", changed(lambda file: file.remove(ARCHITECTURE + key)), (key,)
    yield "heads that are no multiple", changed(lambda file: (file.set(ARCHITECTURE + "attention.head_count", U32, 3),
                                                              file.set(ARCHITECTURE + "attention.head_count_kv", U32, 2))), ("multiple",)
    yield "more key heads than heads", setting(ARCHITECTURE + "attention.head_count_kv", U32, 4), ("multiple",)
    yield "one layer too many", setting(ARCHITECTURE + "block_count", U32, 5), ("lacks the tensor blk.4",)
    yield "one layer too few", setting(ARCHITECTURE + "block_count", U32, 3), ("38 tensors", "29")
    yield "the longest context", setting(ARCHITECTURE + "context_length", U32, 2**24), None
    for value in (math.nan, math.inf, -math.inf, 0.0, -1e-6, 1e-13, 1.0, 1e30):
        yield f"epsilon {value}", setting(ARCHITECTURE + "attention.layer_norm_rms_epsilon", F32, value), ("epsilon",)
    yield "epsilon of 64 bits", setting(ARCHITECTURE + "attention.layer_norm_rms_epsilon", F64, math.nan), ("epsilon",)
    for value in (math.nan, math.inf, -5e6, 0.0, 1.0):
        yield f"base {value}", setting(ARCHITECTURE + "rope.freq_base", F32, value), ("RoPE base",)
    for value in (1.0000001, 3e38):
        yield f"base {value}", setting(ARCHITECTURE + "rope.freq_base", F32, value), None

    def yarn(factor, original):
        def change(file):
            file.set(ARCHITECTURE + "rope.scaling.type", STR, "yarn")
            file.set(ARCHITECTURE + "rope.scaling.factor", F32, factor)
            if original is not None:
                file.set(ARCHITECTURE + "rope.scaling.original_context_length", U32, original)
        return changed(change)
    for factor in (math.nan, math.inf, 0.0, -2.0, 0.5, 65.0, 3e38):
        yield f"YaRN by {factor}", yarn(factor, 4096), ("YaRN factor",)
    for original in (0, 2**24 + 1, 2**32 - 1):
        yield f"YaRN over {original}", yarn(2.0, original), ("YaRN original",)
    yield "YaRN that falls short", yarn(2.0, 1000), ("YaRN factor",)
    yield "YaRN", yarn(2.0, 2048), None
    yield "YaRN by 64 over one position", changed(lambda file: (
        file.set(ARCHITECTURE + "context_length", U32, 64), file.set(ARCHITECTURE + "rope.scaling.type", STR, "yarn"),
        file.set(ARCHITECTURE + "rope.scaling.factor", F32, 64.0),
        file.set(ARCHITECTURE + "rope.scaling.original_context_length", U32, 1))), None


def tensors():
    def with_tensor(change, name="blk.1.attn_q.weight", base=small_model):
        return changed(lambda file: change(file.tensor(name)), base)
    for shape in ([], [0], [0, 32], [32, 0], [2**32, 2**32], [2**63, 2], [2**64 - 1, 1], [2**31, 2**31, 4], [32, 32, 1, 1, 1], [1] * 1000):
        yield f"a tensor of shape {shape[:5]}", with_tensor(lambda tensor: setattr(tensor, "shape", shape)), ()
    for shape in ([1024], [32, 31], [31, 32], [64, 16], [32, 32, 1]):
        yield f"a tensor of shape {shape}", with_tensor(lambda tensor: setattr(tensor, "shape", shape)), ("has the shape",)
    for offset in (2**20, 2**32, 2**63, 2**64 - 32):
        yield f"a tensor at {offset}", with_tensor(lambda tensor: setattr(tensor, "offset", offset)), ("past the end",)
    for offset in (1, 4, 31, 2**64 - 1):
        yield f"a tensor at {offset}", with_tensor(lambda tensor: setattr(tensor, "offset", offset)), ("alignment",)
    yield "tensors that overlap", with_tensor(lambda tensor: setattr(tensor, "offset", 32)), ("runs into the next",)
    yield "all tensors at the start", changed(lambda file: [setattr(tensor, "offset", 0) for tensor in file.tensors]), ("runs into the next",)
    yield "two tensors of one name", changed(lambda file: file.tensors.append(file.tensors[3])), ("two tensors named",)
    yield "a tensor more", changed(lambda file: file.tensors.append(Tensor("x", 0, [1], b"1234"))), ("39 tensors",)
    yield "RoPE factors", changed(lambda file: file.tensors.append(Tensor("rope_freqs.weight", 0, [16], bytes(64)))), ("RoPE factors",)
    yield "without a tensor", changed(lambda file: file.tensors.pop(5)), ("lacks the tensor",)
    yield "without tensors", changed(lambda file: file.tensors.clear()), ("lacks the tensor",)
    yield "a name of 100,000 letters", with_tensor(lambda tensor: setattr(tensor, "name", "x" * 100000)), ("name is 100000",)
    yield "a name of no letters", with_tensor(lambda tensor: setattr(tensor, "name", "")), ("lacks the tensor",)
    yield "a name with a line break", changed(lambda file: file.tensors.extend([Tensor("a\nb\x1b[31m", 0, [1], b"1234")] * 2)), ("two tensors",)
    for kind in (4, 5, 9, 15, 24, 31, 39, 1000, 2**31, 2**32 - 1):
        yield f"a tensor of type {kind}", with_tensor(lambda tensor: setattr(tensor, "kind", kind)), ("tensor blk.1.attn_q.weight",)
    for kind in (10, 11, 12, 13, 14, 23):
        yield f"rows that are no whole block of type {kind}", with_tensor(lambda tensor: setattr(tensor, "kind", kind)), ("no whole number",)
    yield "a norm that is not of floats", with_tensor(lambda tensor: setattr(tensor, "kind", 1), "blk.1.attn_norm.weight"), ("F32",)
    yield "the last tensor cut", changed(lambda file: None)[:-32], ("past the end",)
    for name, bits in (("not numbers", b"\xff\xff\xff\xff"), ("infinite", b"\0\0\x80\x7f"), ("huge", b"\xff\xff\x7f\x7f"), ("denormal", b"\1\0\0\0")):
        def fill(file):
            for tensor in file.tensors:
                tensor.data = bits * (len(tensor.data) // 4)
        words = ("logits", "not finite")
        yield f"weights that are {name}", changed(fill), words if name in ("not numbers", "infinite") else None
        yield f"block weights that are {name}", changed(fill, quantised_model), None if name == "denormal" else words


def vocabularies():
    def with_array(key, change):
        return changed(lambda file: change(file.entry("tokenizer.ggml." + key)[2]))
    yield "no tokens", with_array("tokens", lambda array: array.items.clear()), ("0 tokens",)
    yield "one token too few", with_array("tokens", lambda array: array.items.pop()), ("tokens but",)
    yield "one type too few", with_array("token_type", lambda array: array.items.pop()), ("tokens but",)
    yield "tokens as numbers", setting("tokenizer.ggml.tokens", ARR, Array(I32, [1] * 274)), ("array of strings",)
    yield "types as texts", setting("tokenizer.ggml.token_type", ARR, Array(STR, ["1"] * 274)), ("token 0", "type")
    yield "types as floats", setting("tokenizer.ggml.token_type", ARR, Array(F32, [1.0] * 274)), ("integers",)
    yield "tokens as one text", setting("tokenizer.ggml.tokens", STR, "abc"), ("not an array",)
    for key in ("tokens", "token_type", "merges", "model", "pre"):
        yield f"without {key}", changed(lambda file: file.remove("tokenizer.ggml." + key)), (key,)
    for kind in (0, 7, -1, 2**31 - 1):
        yield f"a token of type {kind}", with_array("token_type", lambda array: array.items.__setitem__(3, kind)), (f"type {kind}",)
    yield "an empty token", with_array("tokens", lambda array: array.items.__setitem__(260, "")), ("empty",)
    yield "a token not of the alphabet", with_array("tokens", lambda array: array.items.__setitem__(260, "a b")), ("alphabet",)
    yield "a token that is not UTF-8", with_array("tokens", lambda array: array.items.__setitem__(260, b"\xff\xff")), ("alphabet",)
    yield "two equal tokens", with_array("tokens", lambda array: array.items.__setitem__(260, "a")), ("are the same",)
    yield "two equal special tokens", with_array("tokens", lambda array: array.items.__setitem__(-1, "<think>")), ("same name",)
    yield "a special token of a letter", with_array("tokens", lambda array: array.items.__setitem__(-1, "a")), ("same name",)
    yield "a byte without a token", with_array("tokens", lambda array: array.items.__setitem__(10, "xx")), ("byte",)
    for merge, words in (("", "two tokens"), ("a", "two tokens"), ("a b c", "two tokens"), ("ab", "two tokens"), ("zz y", "not a token"), ("q q", "not a token"),
                         ("t h", "twice"), (" ", "not a token"), (b"\xff \xff", "two tokens"), (" a", "not a token")):
        yield f"the merge {merge!r}", with_array("merges", lambda array: array.items.append(merge)), ("merge", words)
    yield "merges as numbers", setting("tokenizer.ggml.merges", ARR, Array(I32, [1] * 9)), ("array of strings",)
    for key in ("bos_token_id", "eos_token_id", "eot_token_id"):
        yield f"{key} past the end", setting("tokenizer.ggml." + key, U32, 274), (key,)
        yield f"{key} below zero", setting("tokenizer.ggml." + key, I32, -1), (key,)
    yield "a BOS that is missing", changed(lambda file: (file.remove("tokenizer.ggml.bos_token_id"),
                                                         file.set("tokenizer.ggml.add_bos_token", BOOL, 1))), ("BOS",)
    yield "vocabulary larger than the weights'", changed(lambda file: (
        file.entry("tokenizer.ggml.tokens")[2].items.append("zz"),
        file.entry("tokenizer.ggml.token_type")[2].items.append(1))), ("tokenizer has 275",)
    yield "a token of a megabyte", with_array("tokens", lambda array: array.items.__setitem__(265, "x" * 1000000)), ("merge",)

    def nested_names(file):
        # Each name begins all longer ones, and the template prints text that every one of them matches everywhere.
        tokens, kinds = file.entry("tokenizer.ggml.tokens")[2].items, file.entry("tokenizer.ggml.token_type")[2].items
        for length in range(2, 202):
            tokens.append("<" * length)
            kinds.append(3)
        file.set("tokenizer.chat_template", STR, "{{ '<' * 100000 }}")
        grow(file, len(tokens))
    yield "names of special tokens within one another", changed(nested_names), ("within one another",)
    yield "merges that collide", changed(colliding_merges), ("merge", "collide")


def grow(file, vocabulary):
    """Makes the weights fit a larger vocabulary."""
    file.set(ARCHITECTURE + "vocab_size", U32, vocabulary)
    embedding = file.tensor("token_embd.weight")
    embedding.shape[1] = vocabulary
    embedding.data += bytes(vocabulary * 128 - len(embedding.data))


def colliding_merges(file):
    """Pairs of tokens whose hash puts them all into the same sixteen slots, so that each is looked for past all before it."""
    tokens, kinds, merges = (file.entry("tokenizer.ggml." + key)[2].items for key in ("tokens", "token_type", "merges"))
    factor, slots, wanted, size = 0x9E3779B97F4A7C15, 1 << 16, 40000, 60000  # as src/smollm3/tokenizer_merges has them
    first = len(tokens)
    tokens += ["z" + "".join(chr(97 + i // 26**k % 26) for k in range(4)) for i in range(size)]
    hashes = sorted((right * factor % 2**64, right) for right in range(first, first + size))
    for left in range(first, first + size):
        lowest = -(left << 20) * factor % 2**64
        for _, right in hashes[bisect.bisect(hashes, (lowest, 0)):bisect.bisect(hashes, (lowest + 16 * 2**64 // slots, 0))]:
            merges.append(tokens[left] + " " + tokens[right])
            tokens.append(tokens[left] + tokens[right])
        if len(merges) >= wanted:
            break
    kinds += [1] * (len(tokens) - len(kinds))


def templates():
    def template(source):
        return setting("tokenizer.chat_template", STR, source)
    for source in ("{{", "{% for", "{% if x %}", "{{ ( }}", "{# ", "{{ 'a }}", "{% bogus %}", "{{ 1 | bogus }}", "{{ " + "(" * 10000,
                   "{{ " + "-" * 100000 + "1 }}"):
        yield f"the template {source[:12]}", template(source), ("tokenizer.chat_template",)
    for source in ("{% for x in range(10 ** 12) %}{% endfor %}", "{{ 'a' * 10 ** 12 }}", "{{ 10 ** 10 ** 10 }}", "{{ [0] * 10 ** 12 }}",
                   "{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}", "{{ 'x'.center(10 ** 12) }}",
                   "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ '%9999999999d' % 1 }}", "{{ raise_exception('a\nb' * 1000) }}",
                   "{% set ns = namespace(x='ab') %}{% for i in range(99999) %}{% set ns.x = ns.x * 2 %}{% endfor %}", "{{ messages[9].content }}",
                   "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}"):
        yield f"the template {source[:40]}", template(source), ("tokenizer.chat_template",)
    yield "a template that prints 2 MB", template("{{ ' ' * 2000000 }}x"), ("context",)
    yield "a template that prints 2 MB of its own and the user's letters in turn", template(
        "{% set ns = namespace(x='a' ~ messages[0].role[0]) %}{% for i in range(20) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"), ("context",)
    yield "a template that prints 3 MB", template("{{ ' ' * 3000000 }}"), ("2097152",)
    yield "a template of a megabyte", template("{# " + "x" * 1000000 + " #}a"), None
    yield "an empty template", template(""), None  # as none at all
    yield "a template that prints nothing", template("{% raw %}{% endraw %}"), ("prompt", "empty")
