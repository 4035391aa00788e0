"""scripts/check-includes finds what is planted, and nothing in what is allowed."""
import importlib.machinery
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check-includes"
loader = importlib.machinery.SourceFileLoader("check_includes", str(SCRIPT))
check_includes = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(check_includes)


def complaints(path: str, text: str) -> list[str]:
    return list(check_includes.violations_in(path, text))


class CheckIncludes(unittest.TestCase):
    def assert_refused(self, path: str, text: str):
        self.assertEqual(len(complaints(path, text)), 1, f"{path}: {text}")

    def assert_allowed(self, path: str, text: str):
        self.assertEqual(complaints(path, text), [], f"{path}: {text}")

    def test_exit_code(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "base" / "a.cpp"
            file.parent.mkdir()
            for text, code in [("int a;\n", 0), ('#include "cli/help.h"\n', 1)]:
                file.write_text(text)
                ran = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False)
                self.assertEqual(ran.returncode, code)
                self.assertEqual(ran.stderr.count("\n"), code)

    def test_layers(self):
        for path, include in [
            ("base/a.cpp", "gguf/gguf.h"),
            ("gguf/a.h", "quant/type.h"),
            ("quant/a.cpp", "compute/compute.h"),
            ("jinja/a.cpp", "gguf/gguf.h"),
            ("compute/a.cpp", "gguf/gguf.h"),
            ("smollm3/a.cpp", "engine/engine.h"),
            ("engine/a.cpp", "store/store.h"),
            ("store/a.cpp", "engine/engine.h"),
            ("store/a.cpp", "smollm3/config.h"),
            ("server/a.cpp", "cli/output.h"),
        ]:
            self.assert_refused(path, f'#include "{include}"\n')
            self.assert_refused(path, f"#  include <{include}>\n")
        for path, include in [
            ("base/a.cpp", "base/b.h"),
            ("compute/a.cpp", "quant/type.h"),
            ("store/a.cpp", "base/error.h"),
            ("server/a.cpp", "store/store.h"),
            ("server/http/a.cpp", "engine/engine.h"),
            ("cli/a.cpp", "server/server.h"),
        ]:
            self.assert_allowed(path, f'#include "{include}"\n#include <vector>\n')

    def test_names_from_src_on(self):
        self.assert_refused("base/a.cpp", '#include "b.h"\n')
        self.assert_refused("base/a.cpp", '#include "../gguf/gguf.h"\n')
        self.assert_refused("other/a.cpp", "int a;\n")

    def test_backends(self):
        for include in ["compute/cpu/tiles.h", "compute/cuda/launch.h"]:
            self.assert_refused("cli/a.cpp", f'#include "{include}"\n')
            self.assert_refused("smollm3/a.h", f'#include "{include}"\n')
            self.assert_allowed("compute/device_choice.cpp", f'#include "{include}"\n')

    def test_instructions(self):
        for text in [
            'void f() { asm volatile("pause"); }\n',
            'void f() { __asm__("pause"); }\n',
            "void f() { _mm_pause(); }\n",
            "void f() { _mm256_zeroall(); }\n",
            "__m512i f() { return _mm512_setzero_si512(); }\n",
            "void f() { __builtin_ia32_pause(); }\n",
            "#include <immintrin.h>\n",
            "#include <arm_neon.h>\n",
            "#include <cpuid.h>\n",
        ]:
            for path in ["base/thread_pool.cpp", "quant/a.cpp", "jinja/a.cpp", "compute/a.cpp", "cli/a.h"]:
                self.assert_refused(path, text)
            for path in ["compute/cpu/a.cpp", "compute/cuda/a.cu", "base/processor.cpp"]:
                self.assert_allowed(path, text)

    def test_words_are_not_code(self):
        self.assert_allowed(
            "cli/a.cpp",
            '// asm and _mm_pause(); #include "x.h"\n/* asm\n#include "gguf.h"\n*/\nconst char* a = "asm";\n'
            "const char* b = R\"(asm _mm_pause)\";\nint hh_mm_ss = 1'000;\nchar c = '\"';\n",
        )
        self.assert_refused("cli/a.cpp", "char c = '\"'; void f() { asm(\"nop\"); }\n")


if __name__ == "__main__":
    unittest.main()
