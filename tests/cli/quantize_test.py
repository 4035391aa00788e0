"""`quantize`: the types and metadata of what it writes, its error against decoders of our own, and what it refuses."""
import math
import os
import pty
import resource
import signal
import struct
import termios
import time
import unittest

import blocks
import gguf_header as gguf
from program import HANGS_AFTER, expect_error, path, run, start
from terminal import Terminal


def synth(name, *arguments):
    file = path(name)
    if not os.path.exists(file):
        run("--quiet", "synth", "--shape", "micro", "--out", file, *arguments).check_returncode()
    return file


def quantize(source, kind, out="out.gguf"):
    file = path(out)
    result = run("--threads", "1", "--quiet", "quantize", source, file, "--type", kind)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b""), result.stderr
    return file


def content(file):
    with open(file, "rb") as stream:
        return stream.read()


def leftovers():
    return [name for name in os.listdir(path("")) if ".part-" in name]


def patched(source, out, tensor, element, value):
    """A copy of an F32 file with one element of one tensor changed."""
    data = bytearray(content(source))
    report = gguf.read(source)
    entry = next(t for t in report["tensors"] if t["name"] == tensor)
    start_of_data = len(data) - sum(-(-t["bytes"] // 32) * 32 for t in report["tensors"])
    struct.pack_into("<f", data, start_of_data + entry["offset"] + 4 * element, value)
    with open(path(out), "wb") as stream:
        stream.write(data)
    return path(out)


class Written(unittest.TestCase):
    def test_types_of_the_recipes(self):
        """With 36 layers, those of the public Q4_K_M file; and for every recipe, those of llama.cpp."""
        source = synth("f32-36.gguf", "--type", "F32", "--layers", "36")
        for kind, counts in (("Q4_K_M", {"Q4_K": 216, "Q6_K": 37, "F32": 73}), ("Q5_K_M", {"Q5_K": 216, "Q6_K": 37, "F32": 73}),
                             ("Q6_K", {"Q6_K": 253, "F32": 73}), ("Q8_0", {"Q8_0": 253, "F32": 73})):
            self.assertEqual(gguf.read(quantize(source, kind))["counts"], counts)
        types = {t["name"]: t["type"] for t in gguf.read(quantize(source, "Q4_K_M"))["tensors"]}
        self.assertEqual(types["token_embd.weight"], "Q6_K")
        self.assertEqual([i for i in range(36) if types[f"blk.{i}.ffn_down.weight"] == "Q6_K"],
                         [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 31, 32, 33, 34, 35])

    def test_metadata_is_carried_over(self):
        source = synth("f32.gguf", "--type", "F32")
        before = gguf.read(source)
        for kind, number in (("Q4_K_M", 15), ("Q5_K_M", 17), ("Q6_K", 18), ("Q8_0", 7)):
            after = gguf.read(quantize(source, kind))
            self.assertEqual(after["metadata"], {**before["metadata"], "general.file_type": number, "general.quantization_version": 2})
            self.assertEqual([(t["name"], t["shape"]) for t in after["tensors"]], [(t["name"], t["shape"]) for t in before["tensors"]])

    def test_error_of_every_tensor(self):
        """Normal weights: below the error of llama.cpp's encoders, which is 0.0708, 0.0359, 0.0176 and 0.0053."""
        bounds = {"F32": 0, "Q4_K": 0.0708, "Q5_K": 0.0355, "Q6_K": 0.0172, "Q8_0": 0.0054}
        source = synth("f32-2.gguf", "--type", "F32", "--layers", "2")
        floats = blocks.tensors(source)
        for kind in ("Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"):
            written = quantize(source, kind)
            for name, (block_type, values) in blocks.tensors(written).items():
                size = math.fsum(x * x for x in floats[name][1])
                error = math.fsum((x - y) ** 2 for x, y in zip(floats[name][1], values, strict=True))
                self.assertLessEqual(math.sqrt(error / size), bounds[block_type], (kind, name))

    def test_threads_and_sources_give_the_same_bits(self):
        source = synth("f32.gguf", "--type", "F32")
        one = content(quantize(source, "Q4_K_M"))
        run("--threads", "3", "quantize", source, path("3.gguf"), "--type", "Q4_K_M").check_returncode()
        self.assertEqual(content(path("3.gguf")), one)
        run("quantize", synth("bf16.gguf", "--type", "BF16"), path("b.gguf"), "--type", "Q8_0").check_returncode()
        run("quantize", synth("f16.gguf", "--type", "F16"), path("h.gguf"), "--type", "Q8_0").check_returncode()
        for name in ("b.gguf", "h.gguf"):
            values = blocks.tensors(path(name))["blk.1.attn_q.weight"][1]
            floats = blocks.tensors(path("bf16.gguf" if name == "b.gguf" else "f16.gguf"))["blk.1.attn_q.weight"][1]
            self.assertLess(max(abs(x - y) for x, y in zip(values, floats)), 0.01 * max(map(abs, floats)))

    def test_the_result_runs(self):
        file = quantize(synth("f32.gguf", "--type", "F32"), "Q5_K_M")
        run("--model", file, "logits", "--tokens", "1,2,3", "--out", path("l.f32")).check_returncode()

    def test_says_what_it_did(self):
        result = run("quantize", synth("f32.gguf", "--type", "F32"), path("said.gguf"), "--type", "Q4_K_M")
        self.assertRegex(result.stderr.decode(), r"\A[^\n]*said.gguf: [\d.]+ MB from [\d.]+ MB, [\d.]+ bits a weight, in [^\n]+\n\Z")

    def test_progress_on_a_terminal(self):
        terminal = Terminal("quantize", synth("f32-36.gguf", "--type", "F32", "--layers", "36"), path("t.gguf"), "--type", "Q4_K_M")
        terminal.expect("  0 %  ")
        terminal.expect("] 100 %  ")
        terminal.expect("bits a weight")
        self.assertEqual(terminal.wait(), 0)

    def test_replaces_what_was_there(self):
        with open(path("old.gguf"), "w") as file:
            file.write("old")
        os.symlink(path("old.gguf"), path("link.gguf"))
        quantize(synth("f32.gguf", "--type", "F32"), "Q8_0", "link.gguf")
        self.assertTrue(os.path.islink(path("link.gguf")))
        self.assertEqual(gguf.read(path("old.gguf"))["counts"]["F32"], 9)


class Refused(unittest.TestCase):
    def refuse(self, source, code, *words, kind="Q4_K_M", out="refused.gguf", **options):
        expect_error(self, run("--threads", "1", "quantize", source, path(out), "--type", kind, **options), code, *words)
        self.assertEqual(leftovers(), [])

    def test_wrong_usage(self):
        source = synth("f32.gguf", "--type", "F32")
        expect_error(self, run("quantize", source, path("x.gguf")), 2, "--type")
        self.refuse(source, 2, "Q3_K", kind="Q3_K")
        before = content(source)
        self.refuse(source, 2, "same file", out="f32.gguf")
        os.link(source, path("hard-link.gguf"))
        self.refuse(source, 2, "same file", out="hard-link.gguf")
        self.assertEqual(content(source), before)

    def test_what_is_quantised_already(self):
        self.refuse(synth("q.gguf", "--type", "Q8_0"), 1, "q.gguf", "quantised already", "token_embd.weight", "Q8_0")

    def test_another_model(self):
        gguf.write(path("other.gguf"), 3, [("general.architecture", gguf.STR, "llama")], [("t", 0, [8], bytes(32))])
        self.refuse(path("other.gguf"), 1, "other.gguf", "llama")
        self.assertFalse(os.path.exists(path("refused.gguf")))

    def test_values_that_are_not_finite(self):
        source = synth("f32.gguf", "--type", "F32")
        for value, word in ((math.nan, "NaN"), (math.inf, "infinite"), (-math.inf, "infinite")):
            file = patched(source, "nan.gguf", "blk.2.ffn_up.weight", 3 * 256 + 7, value)
            self.refuse(file, 1, "nan.gguf", "blk.2.ffn_up.weight", "row 3", "column 7", word)
        self.refuse(patched(source, "nan.gguf", "blk.1.ffn_norm.weight", 9, math.nan), 1, "blk.1.ffn_norm.weight", "column 9")
        self.assertFalse(os.path.exists(path("refused.gguf")))

    def test_values_too_large(self):
        file = patched(synth("f32.gguf", "--type", "F32"), "large.gguf", "blk.3.attn_k.weight", 5 * 256, 1e12)
        for kind in ("Q4_K_M", "Q6_K", "Q8_0"):
            self.refuse(file, 1, "large.gguf", "blk.3.attn_k.weight", "row 5", "too large", kind=kind)

    def test_places_that_cannot_be_written(self):
        source = synth("f32.gguf", "--type", "F32")
        self.refuse(source, 1, "folder", "No such file", out="no/such/folder.gguf")
        self.refuse(source, 1, "not a regular file", out="")
        expect_error(self, run("quantize", source, "/dev/null", "--type", "Q8_0"), 1, "/dev/null", "not a regular file")

    def test_full_disk(self):
        """A limit on the size of files fails in the middle, as a full disk does."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        with open(path("kept.gguf"), "w") as file:
            file.write("old")
        self.refuse(synth("f32.gguf", "--type", "F32"), 1, "kept.gguf: cannot be written", "File too large", kind="Q8_0",
                    out="kept.gguf", preexec_fn=limit)
        self.assertEqual(content(path("kept.gguf")), b"old")

    def test_interrupted(self):
        """Its progress goes to a terminal that takes nothing for now, so it is under way however fast the machine is."""
        source = synth("f32.gguf", "--type", "F32")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            person, terminal = pty.openpty()
            termios.tcflow(terminal, termios.TCOOFF)
            process = start("--threads", "1", "quantize", source, path("stopped.gguf"), "--type", "Q6_K", stderr=terminal)
            end = time.monotonic() + HANGS_AFTER
            while not leftovers() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.01)
            process.send_signal(number)
            termios.tcflow(terminal, termios.TCOON)
            output, _ = process.communicate(timeout=HANGS_AFTER)
            self.assertEqual((process.returncode, output), (130, b""), number)
            self.assertRegex(os.read(person, 65536), rb"\A(\r[^\r\n]*\x1b\[K)*\Z")  # the bar, and that taken away
            os.close(person)
            os.close(terminal)
            self.assertEqual(leftovers(), [])
            self.assertFalse(os.path.exists(path("stopped.gguf")))


unittest.main()
