"""`perplexity` against the same figure worked out here from what `logits` writes."""
import array
import json
import math
import os
import re
import unittest

import gguf_header as gguf
from program import expect_error, micro, path, run
from terminal import Terminal

VOCABULARY = 512


def text(words=120, name="text.txt"):
    file = path(name)
    with open(file, "w") as stream:
        stream.write(" ".join(f"word {i * i % 97} <|im_end|>" for i in range(words)) + "\n")
    return file


def with_bos():
    """The micro model, whose file asks for a BOS."""
    file = path("bos.gguf")
    if not os.path.exists(file):
        with open(micro(), "rb") as stream:
            data = stream.read()
        key = b"tokenizer.ggml.add_bos_token" + gguf.BOOL.to_bytes(4, "little")
        assert data.count(key + b"\0") == 1
        with open(file, "wb") as stream:
            stream.write(data.replace(key + b"\0", key + b"\1"))
    return file


def tokens_of(model, file):
    with open(file, "rb") as stream:
        result = run("--model", model, "tokenize", "--json", input=stream.read())
    return json.loads(result.stdout)


def logits(model, tokens):
    run("--model", model, "--threads", "1", "logits", "--tokens", "-", "--out", path("l.f32"),
        input=json.dumps(tokens).encode()).check_returncode()
    with open(path("l.f32"), "rb") as file:
        return array.array("f", file.read())


def expected(model, file, size):
    tokens = tokens_of(model, file)
    metadata = gguf.read(model)["metadata"]
    bos = metadata["tokenizer.ggml.bos_token_id"] if metadata["tokenizer.ggml.add_bos_token"] else None
    if bos is not None:
        tokens.insert(0, bos)
    nll = []
    chunks = len(tokens) // size
    for begin in range(0, chunks * size, size):
        chunk = tokens[begin:begin + size]
        if bos is not None:
            chunk[0] = bos
        rows = logits(model, chunk)
        for i in range(size // 2, size - 1):
            row = rows[i * VOCABULARY:(i + 1) * VOCABULARY]
            nll.append(math.log(math.fsum(map(math.exp, row))) - row[chunk[i + 1]])
    mean = math.fsum(nll) / len(nll)
    perplexity = math.exp(mean)
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in nll) / (len(nll) - 1))
    return {"perplexity": perplexity, "standard_error": perplexity * deviation / math.sqrt(len(nll)), "nll": mean,
            "tokens": len(nll), "chunks": chunks, "chunk_tokens": size}


def measured(model, file, *options):
    result = run("--model", model, "--threads", "1", "perplexity", file, "--json", *options)
    assert (result.returncode, result.stderr) == (0, b""), result.stderr
    found = json.loads(result.stdout)
    assert found.pop("mode") in ("exact", "fast"), result.stdout  # as the processor has it
    return found


class Figures(unittest.TestCase):
    def compare(self, model, size, *options):
        found, wanted = measured(model, text(), *options), expected(model, text(), size)
        self.assertEqual(list(found), list(wanted))
        for key, value in wanted.items():
            if key == "standard_error":  # of the population here, of the sample there
                value *= math.sqrt((wanted["tokens"] - 1) / wanted["tokens"])
                self.assertAlmostEqual(found[key] / value, 1, delta=1 / wanted["tokens"])
            else:
                self.assertAlmostEqual(found[key] / value, 1, delta=1e-6, msg=key)
        return found

    def test_default_chunks(self):
        self.assertGreater(self.compare(micro(), 512)["chunks"], 1)

    def test_other_chunks(self):
        for size in (64, 33, 300):
            self.compare(micro(), size, "--ctx", str(size))

    def test_begin_of_text(self):
        found = self.compare(with_bos(), 64, "--ctx", "64")
        self.assertNotEqual(found["nll"], measured(micro(), text(), "--ctx", "64")["nll"])

    def test_threads_give_the_same_figure(self):
        self.assertEqual(measured(micro(), text(), "--ctx", "64", "--threads", "3"), measured(micro(), text(), "--ctx", "64"))

    def test_smallest_chunk(self):
        """One scored token has no standard error."""
        file = path("short.txt")
        with open(file, "w") as stream:
            stream.write("ab.d")
        self.assertEqual(len(tokens_of(micro(), file)), 4)
        found = measured(micro(), file, "--ctx", "4")
        self.assertEqual((found["tokens"], found["chunks"], found["standard_error"]), (1, 1, None))

    def test_line_for_people(self):
        result = run("--model", micro(), "perplexity", text(), "--ctx", "64")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        line = re.fullmatch(r"perplexity ([\d.]+) ± ([\d.]+)  \(([\d,]+) tokens in (\d+) chunks of 64, (?:exact|fast)\)\n", result.stdout.decode())
        found = measured(micro(), text(), "--ctx", "64")
        self.assertEqual(line[1], f"{found['perplexity']:.4f}")
        self.assertEqual(line[2], f"{found['standard_error']:.4f}")

    def test_progress_on_a_terminal(self):
        terminal = Terminal("--model", micro(), "--threads", "1", "perplexity", text(words=300, name="longer.txt"), "--ctx", "64")
        terminal.expect("  0 %  0 of ")
        terminal.expect("] 100 %  ")  # how often it is drawn between depends on the machine's speed
        terminal.expect(", perplexity ")
        terminal.expect("\rperplexity ")
        self.assertEqual(terminal.wait(), 0)


class Refused(unittest.TestCase):
    def refuse(self, code, *words, arguments=()):
        expect_error(self, run("--model", micro(), "perplexity", *arguments), code, *words)

    def test_wrong_usage(self):
        self.refuse(2, "FILE")
        self.refuse(2, "--ctx", arguments=(text(), "--ctx", "3"))

    def test_texts_that_do_not_do(self):
        self.refuse(1, "missing.txt", "No such file", arguments=(path("missing.txt"),))
        open(path("empty.txt"), "w").close()
        self.refuse(1, "empty.txt", "0 tokens", arguments=(path("empty.txt"),))
        self.refuse(1, "text.txt", "less than one chunk of 60000", arguments=(text(), "--ctx", "60000"))


unittest.main()
