"""`synth`: the shapes, the recipe of types, and that the same seed gives the same file."""
import os
import unittest

import gguf_header as gguf
from program import expect_error, path, run


def synth(name, *arguments):
    file = path(name)
    run("synth", "--out", file, *arguments).check_returncode()
    return file


def content(file):
    with open(file, "rb") as stream:
        return stream.read()


class Synth(unittest.TestCase):
    def test_seed(self):
        one = content(synth("1.gguf", "--shape", "micro"))
        self.assertEqual(one, content(synth("2.gguf", "--shape", "micro", "--seed", "1")))
        self.assertNotEqual(one, content(synth("3.gguf", "--shape", "micro", "--seed", "2")))

    def test_recipe(self):
        """At 36 layers the mix of the public file: 216 Q4_K, 37 Q6_K and 73 F32."""
        report = gguf.read(synth("36.gguf", "--shape", "micro", "--layers", "36"))
        self.assertEqual(report["counts"], {"Q4_K": 216, "Q6_K": 37, "F32": 73})

    def test_shape(self):
        report = gguf.read(synth("m.gguf", "--shape", "micro"))
        metadata = report["metadata"]
        shapes = {tensor["name"]: tensor["shape"] for tensor in report["tensors"]}
        hidden, ffn = metadata["smollm3.embedding_length"], metadata["smollm3.feed_forward_length"]
        head = hidden // metadata["smollm3.attention.head_count"]
        self.assertEqual(shapes["token_embd.weight"], [hidden, len(metadata["tokenizer.ggml.tokens"])])
        self.assertEqual(shapes["blk.0.attn_k.weight"], [hidden, head * metadata["smollm3.attention.head_count_kv"]])
        self.assertEqual(shapes["blk.3.ffn_down.weight"], [ffn, hidden])
        tokens = metadata["tokenizer.ggml.tokens"]
        self.assertEqual(len(set(tokens)), len(tokens))
        self.assertEqual(tokens[metadata["tokenizer.ggml.eos_token_id"]], "<|im_end|>")

    def test_vocabulary_of_another_file(self):
        first = synth("a.gguf", "--shape", "micro")
        second = synth("b.gguf", "--shape", "micro", "--vocab", first, "--seed", "2")
        keys = [key for key in gguf.read(first)["metadata"] if key.startswith("tokenizer.")]
        self.assertEqual([gguf.read(first)["metadata"][key] for key in keys], [gguf.read(second)["metadata"][key] for key in keys])

    def test_template(self):
        with open(path("t.jinja"), "w") as file:
            file.write("{{ messages[0].content }}")
        report = gguf.read(synth("t.gguf", "--shape", "micro", "--template", path("t.jinja")))
        self.assertEqual(report["metadata"]["tokenizer.chat_template"], "{{ messages[0].content }}")

    def test_vocabulary_is_not_written_over(self):
        file = synth("c.gguf", "--shape", "micro")
        before = content(file)
        expect_error(self, run("synth", "--shape", "micro", "--vocab", file, "--out", file), 2, "same file")
        self.assertEqual(content(file), before)

    def test_no_half_file_is_left(self):
        with open(path("tokens.gguf"), "w"):
            pass
        gguf.write(path("small.gguf"), 3, [("tokenizer.ggml.tokens", gguf.ARR, (gguf.STR, ["a"])),
                                           ("tokenizer.ggml.token_type", gguf.ARR, (gguf.I32, [1]))])
        expect_error(self, run("synth", "--shape", "micro", "--vocab", path("small.gguf"), "--out", path("half.gguf")), 1, "small.gguf")
        self.assertFalse(os.path.exists(path("half.gguf")))


unittest.main()
