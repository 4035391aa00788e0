"""`logits` and `bench`: what they write, in the form that other programs read."""
import array
import json
import math
import os
import re
import unittest

from program import environment, expect_error, micro, path, run

VOCABULARY = 512


def logits(*options, tokens="1,2,3,300"):
    out = path("logits.f32")
    result = run("--model", micro(), "logits", "--tokens", tokens, "--out", out, *options)
    assert (result.returncode, result.stdout) == (0, b""), result.stderr
    assert re.fullmatch(f"{out}: \\d+ × {VOCABULARY} logits, (exact|fast)\n", result.stderr.decode()), result.stderr
    with open(out, "rb") as file:
        return file.read()


class Logits(unittest.TestCase):
    def test_rows(self):
        numbers = array.array("f", logits())
        self.assertEqual(len(numbers), 4 * VOCABULARY)
        self.assertTrue(all(math.isfinite(x) for x in numbers))
        self.assertEqual(logits(tokens="1,2"), numbers.tobytes()[:2 * VOCABULARY * 4])

    def test_chunks_give_the_same_bits(self):
        tokens = ",".join(str(i * 37 % VOCABULARY) for i in range(150))
        whole = logits(tokens=tokens)
        for chunk in ("1", "7", "64", "512"):
            self.assertEqual(logits("--chunk", chunk, tokens=tokens), whole)

    def test_threads_give_the_same_bits(self):
        self.assertEqual(logits("--threads", "1"), logits("--threads", "3"))

    def test_keys_and_values_in_full(self):
        self.assertNotEqual(logits("--kv", "f32"), logits())
        self.assertEqual(logits("--kv", "f16"), logits())

    def test_tokens_from_standard_input(self):
        run("--model", micro(), "logits", "--tokens", "-", "--out", path("stdin.f32"), input=b"[1, 2,\n3, 300]\n").check_returncode()
        with open(path("stdin.f32"), "rb") as file:
            self.assertEqual(file.read(), logits())

    def test_the_mode_is_said(self):
        with open(path("text.txt"), "w") as file:
            file.write("some text of many tokens")
        for exact in ([], ["--exact"]):
            common = ["--model", micro(), "--device", "cpu", *exact]
            mode = json.loads(run(*common, "perplexity", path("text.txt"), "--ctx", "8", "--json").stdout)["mode"]
            if exact:
                self.assertEqual(mode, "exact")
            result = run(*common, "logits", "--tokens", "1,2,3", "--out", path("l.f32"))
            self.assertEqual(result.stderr.decode(), f"{path('l.f32')}: 3 × {VOCABULARY} logits, {mode}\n")
            result = run(*common, "--quiet", "logits", "--tokens", "1,2,3", "--out", path("l.f32"))
            self.assertEqual((result.returncode, result.stderr), (0, b""))

    def test_wrong_tokens(self):
        for tokens in ("1,x", "[]", "-3", "1.5"):
            expect_error(self, run("--model", micro(), "logits", f"--tokens={tokens}", "--out", path("l")), 2, "--tokens")
        expect_error(self, run("--model", micro(), "logits", "--tokens", "512", "--out", path("l")), 1, "512")
        self.assertFalse(os.path.exists(path("l")))

    def test_full_disk(self):
        expect_error(self, run("--model", micro(), "logits", "--tokens", "1", "--out", "/dev/full"), 1, "No space left")


class Bench(unittest.TestCase):
    def bench(self, *options):
        return run("--model", micro(), "bench", "--repeat", "1", *options)

    def test_json(self):
        result = self.bench("-p", "8,70", "-n", "2", "-d", "0,100", "-b", "1,3", "--json")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        rows = json.loads(result.stdout)
        for row in rows:
            self.assertEqual(list(row), ["test", "tokens", "depth", "batch", "tokens_per_second", "limit_share"])
            self.assertGreater(row["tokens_per_second"], 0)
            self.assertGreater(row["limit_share"], 0)
        self.assertEqual([(row["test"], row["tokens"], row["depth"], row["batch"]) for row in rows],
                         [("pp", 8, 0, 1), ("pp", 70, 0, 1), ("pp", 8, 100, 1), ("pp", 70, 100, 1),
                          ("tg", 2, 0, 1), ("tg", 2, 0, 3), ("tg", 2, 100, 1), ("tg", 2, 100, 3)])

    def test_table(self):
        result = self.bench("-p", "0", "-n", "2", "-d", "0", "-b", "1")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertRegex(result.stdout.decode(), r"(?m)^tg 2 .*%$")
        self.assertNotIn("pp ", result.stdout.decode())

    def test_what_does_not_fit_is_left_out(self):
        result = self.bench("-p", "8", "-n", "0", "-d", "0,100000", "--json")
        self.assertEqual(result.returncode, 0)
        self.assertEqual(len(json.loads(result.stdout)), 1)
        self.assertRegex(result.stderr.decode(), r"\ALeft out: pp 8 at depth 100000[^\n]*\n\Z")

    def test_a_gpu_that_is_not_there(self):
        for command in (["bench"], ["logits", "--tokens", "1", "--out", path("l")], ["run", "Hi"], ["serve", "--port", "0"]):
            result = run("--model", micro(), "--device", "cuda", *command, env=environment(CUDA_VISIBLE_DEVICES=""))
            expect_error(self, result, 1, "--device cuda", "--device cpu")

    def test_nothing_to_do(self):
        expect_error(self, self.bench("-p", "0", "-n", "0"), 2, "no test")


unittest.main()
