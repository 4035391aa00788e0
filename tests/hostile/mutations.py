"""Valid files with something wrong: each from a seed, so that it can be made again by its number."""
import math
import random
import struct

from gguf_file import ARR, BOOL, F32, F64, FORMATS, I32, I64, STR, U16, U32, U64, U8, Array
from small_model import TEMPLATE, quantised_model, small_model

NASTY = [0, 1, 2, 3, 7, 8, 9, 31, 32, 33, 255, 256, 2**15, 2**16, 2**20, 2**24, 2**24 + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1,
         2**40, 2**60, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 32, 2**64 - 8, 2**64 - 1]
NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-6, 1e-12, 1e-45, 1e30, 3e38, math.inf, -math.inf, math.nan, 2.0**24, 2.0**32, 64.0, 1.0000001]
WORDS = ["", "a", "smollm3", "llama", "gpt2", "llama-bpe", "smaug-bpe", "yarn", "linear", "none", "F32", "\0", "\n", "a\nb", "\x1b[31m", "ü", "Ġ", "𝛼",
         b"\xff\xfe", b"\xc4", "<|im_end|>", "{{ 1 }}", "{% for", "x" * 300, "x" * 70000]
ALL_KEYS = ["general.alignment", "general.architecture", "general.name", "smollm3.block_count", "smollm3.context_length", "smollm3.embedding_length",
            "smollm3.feed_forward_length", "smollm3.attention.head_count", "smollm3.attention.head_count_kv", "smollm3.attention.key_length",
            "smollm3.attention.value_length", "smollm3.attention.layer_norm_rms_epsilon", "smollm3.rope.freq_base", "smollm3.rope.dimension_count",
            "smollm3.rope.scaling.type", "smollm3.rope.scaling.factor", "smollm3.rope.scaling.original_context_length",
            "smollm3.rope.scaling.attn_factor", "smollm3.rope.scaling.yarn_beta_fast", "smollm3.vocab_size", "tokenizer.ggml.model", "tokenizer.ggml.pre",
            "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
            "tokenizer.ggml.eot_token_id", "tokenizer.ggml.add_bos_token", "tokenizer.chat_template"]
TEMPLATE_PARTS = ["{{", "}}", "{%", "%}", "{#", "#}", "-%}", "{%-", "{% raw %}", "{% endraw %}", "{% for x in range(9999999999) %}", "{% endfor %}",
                  "{% for x in range(3000) %}{% for y in range(3000) %}", "{% endfor %}{% endfor %}", "{{ 'a' * 99999999 }}", "{{ 2 ** 999999 }}",
                  "{{ messages * 1000000 }}", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "{% if x %}", "{% endif %}", "{% set ns = namespace(a=1) %}",
                  "{% set ns.a = ns %}", "{{ ns }}", "{{ raise_exception('a\nb') }}", "{{ messages[0]['content'] }}", "{{ messages[-99] }}", "(" * 400, "[" * 400,
                  "{{ " + "-" * 400 + "1 }}", "'", '"', "\0", "\x7f", "\u2028", "{{ (1).__class__ }}", "{{ 'a'.format(x=1) }}", "{{ '%999999999d' % 1 }}",
                  "{{ 'x'.rjust(999999999) }}", "{{ 1 / 0 }}", "{{ 9 // 0 }}", "{{ 1e309 }}", "{{ '{:>999999999}'.format(1) }}", "{{ strftime_now('%Y' * 9999) }}",
                  "{{ messages | tojson(indent=999999999) }}", "{{ 'aaa'.replace('', 'b' * 9999999) }}", "{{ 'abc'[::0] }}", "{{ 'abc'[-9:9:-1] }}"]


def nasty_number(random, kind):
    """A value that the kind can hold."""
    if kind in (F32, F64):
        return random.choice(NUMBERS)
    size = struct.calcsize(FORMATS[kind])
    value = random.choice(NASTY) % 2**(8 * size)
    return struct.unpack("<" + FORMATS[kind], value.to_bytes(size, "little"))[0]


def nasty_value(random):
    kind = random.choice([U8, U16, U32, U32, I32, F32, F64, BOOL, STR, STR, ARR, U64, I64])
    if kind == STR:
        return kind, random.choice(WORDS)
    if kind != ARR:
        return kind, nasty_number(random, kind)
    inner = random.choice([U8, U32, I32, F32, STR])
    items = [random.choice(WORDS[:-1]) if inner == STR else nasty_number(random, inner) for _ in range(random.choice([0, 1, 3, 300]))]
    return kind, Array(inner, items, random.choice([None, None, None, 0, len(items) + 1, 2**32, 2**61, 2**64 - 1]))


# Of the file as values.

def change_entry(random, file):
    key, kind = random.choice(ALL_KEYS), random.choice([U32, U32, U32, F32])
    file.set(key, *(nasty_value(random) if random.random() < 0.5 else (kind, nasty_number(random, kind))))


def change_dimension(random, file):
    """A number that is nearly right."""
    entry = random.choice([e for e in file.metadata if e[0].startswith("smollm3.") and e[1] == U32])
    entry[2] = max(0, random.choice([entry[2] + 1, entry[2] - 1, entry[2] * 2, entry[2] // 2, entry[2] * 16, entry[2] + 32]))


def change_entries(random, file):
    file.metadata[random.randrange(len(file.metadata))][1:] = nasty_value(random)
    if random.random() < 0.3:
        random.shuffle(file.metadata)


def drop_or_double_entry(random, file):
    at = random.randrange(len(file.metadata))
    if random.random() < 0.5:
        del file.metadata[at]
    else:
        file.metadata.insert(random.randrange(len(file.metadata) + 1), list(file.metadata[at]))


def change_vocabulary(random, file):
    key = random.choice(["tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges"])
    array = file.entry(key)[2]
    for _ in range(random.choice([1, 1, 2, 20])):
        at = random.randrange(len(array.items) or 1)
        action = random.randrange(5)
        if action == 0 and array.items:
            del array.items[at]
        elif action == 1 and array.items:
            array.items.insert(at, random.choice(array.items))
        elif action == 2 and array.items:
            other = random.randrange(len(array.items))
            array.items[at], array.items[other] = array.items[other], array.items[at]
        elif array.kind == STR:
            array.items[at:at + 1] = [random.choice([*WORDS, "a b", " ", "a ", " a", "t h", "a b c", "Ġ Ġ", "<think>", "<|im_end|>"])]
        else:
            array.items[at:at + 1] = [random.choice([0, 1, 2, 3, 4, 5, 6, 7, -1, 2**31 - 1])]


def change_count(random, file):
    which = random.randrange(3)
    if which == 0:
        file.entry_count = random.choice([*NASTY, len(file.metadata) - 1, len(file.metadata) + 1])
    elif which == 1:
        file.tensor_count = random.choice([*NASTY, len(file.tensors) - 1, len(file.tensors) + 1])
    else:
        array = random.choice([entry[2] for entry in file.metadata if entry[1] == ARR])
        array.count = random.choice([*NASTY, len(array.items) - 1, len(array.items) + 1])


def change_tensor(random, file):
    at = random.randrange(len(file.tensors))
    tensor, action = file.tensors[at], random.randrange(8)
    if action == 0:
        del file.tensors[at]
    elif action == 1:
        file.tensors.append(file.tensors[random.randrange(len(file.tensors))])
    elif action == 2:
        tensor.name = random.choice([*WORDS, random.choice(file.tensors).name, "rope_freqs.weight", "blk.99.attn_q.weight", "output.weight"])
    elif action == 3:
        tensor.shape = [random.choice([*NASTY, *tensor.shape]) for _ in range(random.choice([0, 1, 2, 3, 4, 5, 200]))]
    elif action == 4:
        tensor.shape[random.randrange(len(tensor.shape))] = random.choice([*NASTY, 31, 33, 64, 16])
    elif action == 5:
        tensor.kind = random.choice([*range(40), 2**31, 2**32 - 1])
    elif action == 6:
        tensor.offset = random.choice([*NASTY, 32, 64, 100000, 1000000])
    else:
        tensor.data = tensor.data[:random.randrange(len(tensor.data))]


def change_alignment(random, file):
    file.alignment = random.choice([1, 2, 4, 8, 16, 64, 4096, 1 << 16])
    file.set("general.alignment", *random.choice([(U32, file.alignment), (U32, random.choice(NASTY) % 2**32), (U64, random.choice(NASTY)), (I64, -32), nasty_value(random)]))


def change_weights(random, file):
    """Not a number, infinite, huge, denormal: in one place, or everywhere in a tensor."""
    tensor = random.choice(file.tensors)
    data = bytearray(tensor.data)
    for _ in range(random.choice([1, 10, len(data) // 4])):
        at = random.randrange(len(data) // 4) * 4
        data[at:at + 4] = random.choice([b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f", b"\1\0\0\0", b"\xff\xff\xff\xff", random.randbytes(4)])
    tensor.data = bytes(data)


def change_template(random, file):
    text = random.choice([TEMPLATE, "", "{{ messages }}"])
    for _ in range(random.choice([1, 1, 2, 5, 40])):
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice(TEMPLATE_PARTS) + text[at + random.choice([0, 0, 1, 5, 40]):]
    file.set("tokenizer.chat_template", STR, text)


# Of the file as bytes.

def truncate(random, data, fields):
    where = random.random()
    size = random.randrange(len(data)) if where < 0.4 else random.choice(fields)[0] + random.choice([0, 1, 4]) if where < 0.9 else random.randrange(100)
    del data[size:]


def change_field(random, data, fields):
    at, size = random.choice(fields)
    value = random.choice(NASTY) if random.random() < 0.5 else int.from_bytes(data[at:at + size], "little") + random.choice([-1, 1, -32, 32, 2**31, 2**32, 2**56])
    data[at:at + size] = (value % 2**(8 * size)).to_bytes(size, "little")


def change_counts_anywhere(random, data, fields):
    for _ in range(random.choice([2, 3, 10])):
        change_field(random, data, fields)


def change_bytes(random, data, fields):
    end = max(at + size for at, size in fields)
    for _ in range(random.choice([1, 1, 3, 30, 300])):
        data[random.randrange(end if random.random() < 0.9 else len(data))] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)])


def move_bytes(random, data, fields):
    end = max(at + size for at, size in fields)
    at, size = random.randrange(end), random.choice([1, 4, 8, 100, 5000])
    piece = data[at:at + size]
    if random.random() < 0.6:
        del data[at:at + size]
    if random.random() < 0.6:
        to = random.randrange(end)
        data[to:to] = piece


OF_VALUES = [change_entry, change_entry, change_dimension, change_entries, drop_or_double_entry, change_vocabulary, change_vocabulary, change_count,
             change_tensor, change_tensor, change_alignment, change_weights, change_weights, change_template, change_template]
HARMLESS = [change_weights, change_template]  # to the file's form: the model runs, on what it should not have to expect
OF_BYTES = [truncate, truncate, change_field, change_field, change_field, change_counts_anywhere, change_bytes, move_bytes]
_models = None


def mutation(number):
    """A name and the bytes of the file with that number."""
    global _models
    if _models is None:
        _models = [small_model(), quantised_model()]
    source = random.Random(number)
    file = _models[source.random() < 0.3].copy()
    names = []
    where = source.random()
    if where < 0.75:
        for _ in range(source.choice([1, 1, 1, 2, 3])):
            change = source.choice(HARMLESS if where < 0.2 else OF_VALUES)
            names.append(change.__name__)
            try:
                change(source, file)
            except (IndexError, AttributeError, StopIteration):  # what it wanted to change is gone
                pass
    data, fields = file.bytes_and_fields()
    if not names or source.random() < 0.1:
        change = source.choice(OF_BYTES)
        names.append(change.__name__)
        change(source, data, fields)
    return ", ".join(names), bytes(data)
