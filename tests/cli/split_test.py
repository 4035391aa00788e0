"""Models split over several files: the same answers as from one file, and which part an error is about."""
import os
import shutil
import struct
import unittest

import gguf_header as gguf
from program import environment, expect_error, micro, path, run


def split(source, stem, parts):
    """Writes `parts` files as llama.cpp's gguf-split does; returns the first one's path."""
    with open(source, "rb") as stream:
        data = stream.read()
    report = gguf.read(source)
    kinds = {name: kind for kind, (name, _, _) in gguf.TYPES.items()}
    # The metadata as bytes: from behind the header to the first tensor's description.
    first = report["tensors"][0]["name"].encode()
    end = data.index(struct.pack("<Q", len(first)) + first + struct.pack("<I", len(report["tensors"][0]["shape"])))
    metadata = data[24:end]
    begin = len(data) - sum(-(-t["bytes"] // 32) * 32 for t in report["tensors"])
    tensors = [(t["name"], kinds[t["type"]], t["shape"], data[begin + t["offset"]:begin + t["offset"] + t["bytes"]])
               for t in report["tensors"]]
    each = -(-len(tensors) // parts)
    for i in range(parts):
        file = path(f"{stem}-{i + 1:05}-of-{parts:05}.gguf")
        own = [("split.no", gguf.U16, i), ("split.count", gguf.U16, parts), ("split.tensors.count", gguf.I32, len(tensors))]
        gguf.write(file, 3, own, tensors[i * each:(i + 1) * each])
        if i == 0:
            with open(file, "rb") as stream:
                written = bytearray(stream.read())
            # The whole metadata in front, and padding anew before the tensors' data.
            data_begin = len(written) - sum(-(-len(t[3]) // 32) * 32 for t in tensors[:each])
            header_end = written.index(struct.pack("<Q", len(first)) + first)
            header_end += sum(8 + len(t[0]) + 4 + 8 * len(t[2]) + 12 for t in tensors[:each])
            header = written[:16] + struct.pack("<Q", len(report["metadata"]) + 3) + metadata + written[24:header_end]
            with open(file, "wb") as stream:
                stream.write(header + bytes(-len(header) % 32) + written[data_begin:])
    return path(f"{stem}-00001-of-{parts:05}.gguf")


def logits(model):
    run("--model", model, "logits", "--tokens", "1,2,3,300", "--out", path("l.f32")).check_returncode()
    with open(path("l.f32"), "rb") as file:
        return file.read()


class Split(unittest.TestCase):
    def test_the_same_answers(self):
        for parts in (2, 3, 7):
            self.assertEqual(logits(split(micro(), f"m{parts}", parts)), logits(micro()))

    def test_quantize(self):
        run("synth", "--shape", "micro", "--type", "F32", "--out", path("f32.gguf")).check_returncode()
        first = split(path("f32.gguf"), "f32", 3)
        for source, out in ((path("f32.gguf"), "whole.gguf"), (first, "of-parts.gguf")):
            run("quantize", source, path(out), "--type", "Q4_K_M").check_returncode()
        with open(path("whole.gguf"), "rb") as whole, open(path("of-parts.gguf"), "rb") as of_parts:
            self.assertEqual(whole.read(), of_parts.read())
        third = path("f32-00003-of-00003.gguf")
        expect_error(self, run("quantize", first, third, "--type", "Q8_0"), 2, "same file")

    def test_inspect_says_which_part(self):
        first = split(micro(), "inspected", 3)
        text = run("inspect", first).stdout.decode()
        self.assertIn("1 of 3", text)
        self.assertIn("SmolLM3 micro random", text)
        self.assertIn("3 of 3", run("inspect", path("inspected-00003-of-00003.gguf")).stdout.decode())
        self.assertNotIn("of 3", run("inspect", micro()).stdout.decode())

    def test_missing_part(self):
        first = split(micro(), "missing", 3)
        os.remove(path("missing-00002-of-00003.gguf"))
        expect_error(self, run("--model", first, "tokenize"), 1, "missing-00002-of-00003.gguf: is missing", "part 2 of 3")

    def test_another_part(self):
        split(micro(), "later", 2)
        expect_error(self, run("--model", path("later-00002-of-00002.gguf"), "tokenize"), 1, "part 2 of 2",
                     "name the first: " + path("later-00001-of-00002.gguf"))

    def test_part_of_another_split(self):
        first = split(micro(), "mixed", 3)
        run("synth", "--shape", "micro", "--layers", "8", "--out", path("eight.gguf")).check_returncode()
        split(path("eight.gguf"), "eight", 3)
        shutil.copy(path("eight-00003-of-00003.gguf"), path("mixed-00003-of-00003.gguf"))
        expect_error(self, run("--model", first, "tokenize"), 1, "mixed-00003-of-00003.gguf", "another split")

    def test_cut_off_part(self):
        first = split(micro(), "cut", 2)
        with open(path("cut-00002-of-00002.gguf"), "r+b") as file:
            file.truncate(os.path.getsize(file.name) - 40)
        result = run("--model", first, "logits", "--tokens", "1", "--out", path("cut.f32"))
        expect_error(self, result, 1, "past the end of the file")

    def test_found_in_the_data_folder(self):
        """The newest file may be a later part: the model is the first one's."""
        first = split(micro(), "found", 2)
        folder = path("data/smollm3")
        os.makedirs(folder)
        for name in ("found-00001-of-00002.gguf", "found-00002-of-00002.gguf"):
            shutil.copy(path(name), folder)
        later = os.stat(os.path.join(folder, os.path.basename(first))).st_mtime + 100
        os.utime(os.path.join(folder, "found-00002-of-00002.gguf"), (later, later))
        result = run("tokenize", input=b"x", env=environment(XDG_DATA_HOME=path("data")))
        self.assertEqual((result.returncode, result.stderr.decode()), (0, f"model: {folder}/found-00001-of-00002.gguf\n"))


unittest.main()
