"""Valid SmolLM3 files of some hundred kilobytes with random weights: what the hostile ones are made from."""
import random
import struct

from gguf_file import ARR, BOOL, F32, File, I32, STR, Tensor, U32, Array

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176),
         "Q6_K": (14, 256, 210), "BF16": (30, 1, 2)}
SPECIAL = [("<|begin_of_text|>", CONTROL), ("<|end_of_text|>", CONTROL), ("<think>", USER_DEFINED), ("</think>", USER_DEFINED),
           ("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL), ("<tool_call>", USER_DEFINED), ("</tool_call>", USER_DEFINED)]
MERGES = ["t h", "th e", "Ġ the", "i n", "in g", "Ġ a", "a n", "an d", "Ġ and", "0 0"]
TEMPLATE = """{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message['content'] | trim }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if not enable_thinking | default(true) %}<think>

</think>
{% endif %}{% endif %}"""


def byte_tokens():
    """GPT-2's alphabet: the character that stands for each byte."""
    characters, substitute = [], 256
    for byte in range(256):
        prints = 0x21 <= byte <= 0x7E or (byte >= 0xA1 and byte != 0xAD)
        characters.append(chr(byte if prints else substitute))
        substitute += not prints
    return characters


def weights(random, kind, rows, columns):
    """Blocks of any bits, their scales small enough for the logits to stay finite."""
    _, block, size = TYPES[kind]
    half = lambda: struct.pack("<e", random.uniform(1e-4, 2e-3))
    if block == 1:
        values = [random.gauss(0, 0.2) for _ in range(rows * columns)]
        if kind == "BF16":
            return b"".join(struct.pack("<f", value)[2:] for value in values)
        return struct.pack(f"<{len(values)}" + ("f" if kind == "F32" else "e"), *values)
    out = bytearray()
    for _ in range(rows * columns // block):
        body = random.randbytes(size)
        out += {"Q8_0": lambda: half() + body[2:], "Q6_K": lambda: body[:-2] + half()}.get(kind, lambda: half() + half() + body[4:])()
    return bytes(out)


def small_model(hidden=32, ffn=64, heads=2, kv_heads=1, layers=4, types=("F32",), tied=True, specials=SPECIAL, context=4096):
    """The types are given to the matrices in turn."""
    file, source = File(), random.Random(1)
    tokens = byte_tokens()
    for merge in MERGES:
        tokens.append(merge.replace(" ", ""))
    kinds = [NORMAL] * len(tokens) + [kind for _, kind in specials]
    tokens += [name for name, _ in specials]
    head = hidden // heads
    for key, value in (("general.architecture", "smollm3"), ("general.name", "small"), ("tokenizer.ggml.model", "gpt2"),
                       ("tokenizer.ggml.pre", "smaug-bpe"), ("tokenizer.chat_template", TEMPLATE)):
        file.set(key, STR, value)
    for key, value in (("block_count", layers), ("context_length", context), ("embedding_length", hidden), ("feed_forward_length", ffn),
                       ("attention.head_count", heads), ("attention.head_count_kv", kv_heads), ("attention.key_length", head),
                       ("attention.value_length", head), ("rope.dimension_count", head), ("vocab_size", len(tokens))):
        file.set("smollm3." + key, U32, value)
    file.set("smollm3.attention.layer_norm_rms_epsilon", F32, 1e-6)
    file.set("smollm3.rope.freq_base", F32, 5e6)
    file.set("tokenizer.ggml.tokens", ARR, Array(STR, tokens))
    file.set("tokenizer.ggml.token_type", ARR, Array(I32, kinds))
    file.set("tokenizer.ggml.merges", ARR, Array(STR, list(MERGES)))
    if specials:
        file.set("tokenizer.ggml.bos_token_id", U32, tokens.index("<|begin_of_text|>"))
        file.set("tokenizer.ggml.eos_token_id", U32, tokens.index("<|im_end|>"))
    file.set("tokenizer.ggml.add_bos_token", BOOL, 0)

    turn = 0

    def matrix(name, rows, columns):
        nonlocal turn
        kind = types[turn % len(types)]
        turn += 1
        file.tensors.append(Tensor(name, TYPES[kind][0], [columns, rows], weights(source, kind, rows, columns)))

    def gains(name):
        file.tensors.append(Tensor(name, 0, [hidden], struct.pack(f"<{hidden}f", *(source.uniform(0.8, 1.2) for _ in range(hidden)))))

    matrix("token_embd.weight", len(tokens), hidden)
    gains("output_norm.weight")
    if not tied:
        matrix("output.weight", len(tokens), hidden)
    for layer in range(layers):
        block = f"blk.{layer}."
        gains(block + "attn_norm.weight")
        gains(block + "ffn_norm.weight")
        matrix(block + "attn_q.weight", heads * head, hidden)
        matrix(block + "attn_k.weight", kv_heads * head, hidden)
        matrix(block + "attn_v.weight", kv_heads * head, hidden)
        matrix(block + "attn_output.weight", hidden, heads * head)
        matrix(block + "ffn_gate.weight", ffn, hidden)
        matrix(block + "ffn_up.weight", ffn, hidden)
        matrix(block + "ffn_down.weight", hidden, ffn)
    return file


def quantised_model():
    """One layer of every type that runs, block types in blocks of any bits."""
    return small_model(hidden=256, ffn=256, heads=4, kv_heads=2, layers=1, types=("Q6_K", "Q4_K", "Q8_0", "Q5_K", "F16", "BF16"), tied=False)
