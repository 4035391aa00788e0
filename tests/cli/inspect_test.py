"""`inspect` against an independent reading of the same headers."""
import json
import math
import os
import resource
import unittest

import gguf_header as gguf
from program import micro, path, run

SHARED = os.environ.get("SMOLLM3_SHARED", os.path.join(os.path.dirname(__file__), "../../../shared"))


def processor_seconds():
    """Of the programs run so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(file):
    result = run("inspect", "--json", file)
    assert result.returncode == 0 and not result.stderr, result.stderr
    return json.loads(result.stdout)


class Json(unittest.TestCase):
    maxDiff = 2000

    def test_random_models(self):
        for kind in ("Q4_K_M", "F32", "F16", "BF16", "Q8_0", "Q6_K"):
            file = path(f"{kind}.gguf")
            run("synth", "--shape", "micro", "--type", kind, "--out", file).check_returncode()
            self.assertEqual(report(file), gguf.read(file))

    def test_keys_are_the_contract(self):
        self.assertEqual(list(report(micro())), ["version", "metadata", "tensors", "counts"])

    def test_real_vocabulary(self):
        file = os.path.join(SHARED, "data/llama-bpe-vocab.gguf")
        if not os.path.exists(file):
            self.skipTest("the real vocabulary is not here; SMOLLM3_SHARED names the folder that has it")
        self.assertEqual(report(file), gguf.read(file))

    def test_every_kind_of_value(self):
        metadata = [
            ("u8", gguf.U8, 255), ("i8", gguf.I8, -128), ("u16", gguf.U16, 65535), ("i16", gguf.I16, -32768),
            ("u32", gguf.U32, 2**32 - 1), ("i32", gguf.I32, -2**31), ("u64", gguf.U64, 2**64 - 1), ("i64", gguf.I64, -2**63),
            ("f32", gguf.F32, 0.1), ("f64", gguf.F64, 1e300), ("yes", gguf.BOOL, True), ("no", gguf.BOOL, False),
            ("text", gguf.STR, "quotes \" and \\, a\nline, \x1b[31m, \x7f, ü, 𝛼"), ("not UTF-8", gguf.STR, b"a\xff\xc3(\xed\xa0\x80z"),
            ("empty", gguf.ARR, (gguf.STR, [])), ("texts", gguf.ARR, (gguf.STR, ["a", "", "\"", "\0"])),
            ("flags", gguf.ARR, (gguf.BOOL, [True, False])), ("large", gguf.ARR, (gguf.U64, [2**64 - 1, 0])),
            ("small", gguf.ARR, (gguf.I8, [-1, 1])), ("reals", gguf.ARR, (gguf.F32, [0.25, -1e-30, 3e38])),
        ]
        tensors = [("a \"name\"", 0, [3], bytes(12)), ("b", 8, [32, 2], bytes(68)), ("c", 12, [256, 1, 2], bytes(288))]
        for version in (2, 3):
            file = path(f"odd{version}.gguf")
            gguf.write(file, version, metadata, tensors)
            self.assertEqual(report(file), gguf.read(file))

    def test_numbers_that_json_has_not(self):
        file = path("nan.gguf")
        gguf.write(file, 3, [("nan", gguf.F32, math.nan), ("inf", gguf.ARR, (gguf.F64, [math.inf, 1.5]))])
        self.assertEqual(report(file)["metadata"], {"nan": None, "inf": [None, 1.5]})


class ForPeople(unittest.TestCase):
    def text(self, *arguments):
        result = run("inspect", *arguments)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return result.stdout.decode()

    def test_says_what_matters(self):
        text = self.text(micro())
        for part in ("SmolLM3 micro random", "512 tokens", "65,536 positions", "4 heads of 64", "2 key/value heads", "Q4_K", "Q6_K"):
            self.assertIn(part, text)
        self.assertNotIn("blk.0.attn_q.weight", text)

    def test_tensors(self):
        self.assertEqual(self.text("--tensors", micro()).count("blk.2."), 9)

    def test_yarn(self):
        run("synth", "--shape", "micro", "--yarn", "2", "--out", path("yarn.gguf")).check_returncode()
        text = self.text(path("yarn.gguf"))
        self.assertIn("YaRN × 2 over 65,536", text)
        self.assertIn("131,072 positions", text)

    def test_any_file_can_be_shown(self):
        gguf.write(path("bare.gguf"), 3, [])
        gguf.write(path("strange.gguf"), 3, [("general.architecture", gguf.U32, 7), ("general.name", gguf.STR, "a\x1b[31mred\x9b")],
                   [("t", 4711, [5], bytes(7))])
        self.assertIn("bare.gguf", self.text(path("bare.gguf")))
        text = self.text(path("strange.gguf"))
        self.assertIn("type 4711", text)
        self.assertNotIn("\x1b", text)

    def test_only_the_header_is_read(self):
        # A sparse file of 200 GB: reading its data would take minutes, and more memory than there is.
        file = path("large.gguf")
        gguf.write(file, 3, [("general.architecture", gguf.STR, "smollm3")], [("t", 0, [8], bytes(32))])
        with open(file, "rb") as small:
            header = bytearray(small.read())
        at = header.index(b"\x01\0\0\0t\0\0\0"[4:5] + (1).to_bytes(4, "little")) + 5
        header[at:at + 8] = (50 * 10**9).to_bytes(8, "little")
        with open(file, "wb") as large:
            large.write(header)
            large.truncate(200 * 10**9 + 1000)
        before = processor_seconds()
        self.assertIn("200 GB", self.text(file))
        self.assertLess(processor_seconds() - before, 5)


unittest.main()
