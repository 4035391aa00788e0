"""scripts/check-tidy chooses the sources that show what was changed, and has clang read no precompiled header."""
import importlib.machinery
import importlib.util
import pathlib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
loader = importlib.machinery.SourceFileLoader("check_tidy", str(ROOT / "scripts" / "check-tidy"))
check_tidy = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(check_tidy)


class CheckTidy(unittest.TestCase):
    sources = ["src/base/error.cpp", "src/base/memory.cpp", "src/base/thread_pool.cpp"]

    def chosen(self, *changed: str) -> list[str]:
        return check_tidy.sources_of(set(changed), self.sources)

    def test_chooses_what_was_changed(self):
        self.assertEqual(self.chosen(), [])
        self.assertEqual(self.chosen("README.md", "src/base/none.cpp"), [])
        self.assertEqual(self.chosen("src/base/memory.cpp"), ["src/base/memory.cpp"])

    def test_chooses_one_source_for_a_header(self):
        self.assertEqual(self.chosen("src/base/memory.h"), ["src/base/memory.cpp"])
        self.assertEqual(self.chosen("src/base/error.h"), ["src/base/error.cpp"])
        self.assertEqual(self.chosen("src/base/processor.h"), ["src/base/thread_pool.cpp"])
        self.assertEqual(self.chosen("src/base/error.h", "src/base/thread_pool.cpp"), ["src/base/thread_pool.cpp"])

    def test_drops_what_clang_cannot_read(self):
        command = ["c++", "-Winvalid-pch", "-Werror", "-include", "/build/cmake_pch.hxx", "-O2", "-include", "own.h", "-c", "a.cpp"]
        kept = ["c++", "-O2", "-include", "own.h", "-c", "a.cpp"]
        self.assertEqual(check_tidy.for_clang(command)[: len(kept)], kept)


if __name__ == "__main__":
    unittest.main()
