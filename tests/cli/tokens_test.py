"""`tokenize` and `detokenize`: text to tokens and back, byte for byte."""
import json
import random
import unittest

from program import expect_error, micro, path, run


def tokenize(text, *options):
    result = run("--model", micro(), "tokenize", *options, input=text)
    assert (result.returncode, result.stderr) == (0, b""), result.stderr
    return result.stdout


def detokenize(*ids, input=b""):
    result = run("--model", micro(), "detokenize", *ids, input=input)
    assert (result.returncode, result.stderr) == (0, b""), result.stderr
    return result.stdout


class Tokens(unittest.TestCase):
    def test_round_trip(self):
        rng = random.Random(7)
        texts = [b"", b"\n", b"Hello, world", "Grüße, 世界 🙂\r\n\t x".encode(), b"a\0b", bytes(range(256)), b" " * 5000]
        texts += [bytes(rng.choices(range(256), k=rng.randrange(1, 3000))) for _ in range(20)]
        for text in texts:
            ids = tokenize(text)
            self.assertRegex(ids, rb"\A(\d+( \d+)*)?\n\Z")
            self.assertEqual(detokenize(input=ids), text)
            self.assertEqual(json.loads(tokenize(text, "--json")), [int(word) for word in ids.split()])

    def test_special(self):
        text = b"<|im_start|>user\nhi<|im_end|>"
        self.assertEqual(len(tokenize(text).split()), len(text))
        ids = tokenize(text, "--special").split()
        self.assertEqual(len(ids), 9)
        self.assertEqual(detokenize(input=b" ".join(ids)), text)

    def test_ids_may_be_written_in_many_ways(self):
        ids = tokenize(b"abc").decode().split()
        for arguments in (ids, [",".join(ids)], ["[" + ", ".join(ids) + "]"]):
            self.assertEqual(detokenize(*arguments), b"abc")
        self.assertEqual(detokenize(input=("\n".join(ids) + "\r\n").encode()), b"abc")

    def test_json_text(self):
        self.assertEqual(json.loads(detokenize("--json", input=tokenize(b'"\xff\n'))), '"\ufffd\n')

    def test_ids_that_are_none(self):
        for ids in ("512", "2147483648", "99999999999999999999", "1 x", "1.5", "0x1"):
            expect_error(self, run("--model", micro(), "detokenize", input=ids.encode()), 1, "token ids")


unittest.main()
