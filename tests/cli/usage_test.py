"""Exit codes and messages: 0 done, 1 failed, 2 wrong usage; every error one line."""
import os
import subprocess
import unittest

from program import environment, expect_error, micro, path, run


class WrongUsage(unittest.TestCase):
    def test_no_command(self):
        expect_error(self, run(), 2, "no command", "--help")

    def test_unknown_command(self):
        expect_error(self, run("frobnicate"), 2, "frobnicate")

    def test_unknown_option(self):
        expect_error(self, run("inspect", "--frobnicate", micro()), 2, "--frobnicate", "smollm3 inspect --help")

    def test_missing_argument(self):
        expect_error(self, run("inspect"), 2, "FILE")

    def test_one_argument_too_many(self):
        expect_error(self, run("inspect", micro(), "second"), 2, "second")

    def test_values_out_of_range(self):
        for arguments in (["--threads", "0"], ["--threads", "x"], ["--threads", "-1"], ["--ctx", "-1"], ["--ctx", "1e99"]):
            expect_error(self, run(*arguments, "inspect", micro()), 2, arguments[0])

    def test_sizes(self):
        for size in ("-1", "0", "", "G", "x", "1.5.5G", "4X", "4GBB", "1e9", "nan", "2000T", "99999999999999999999999"):
            expect_error(self, run("--kv-memory", size, "inspect", micro()), 2, "--kv-memory", f"'{size}'", "1.5G")
        for size in ("5000000", "1.5M", "1.5 MB", "2mib", "10000K"):
            result = run("--model", micro(), "--quiet", "--kv-memory", size, "run", "--max-tokens", "1", "Hi")
            self.assertEqual((result.returncode, result.stderr), (0, b""), size)

    def test_unknown_choice(self):
        expect_error(self, run("synth", "--shape", "huge", "--out", path("x")), 2, "huge")

    def test_device(self):
        expect_error(self, run("--device", "tpu", "inspect", micro()), 2, "tpu")
        expect_error(self, run("--model", micro(), "--device", "cuda", "--exact", "run", "Hi"), 2, "--exact", "--device cuda")

    def test_missing_value(self):
        expect_error(self, run("inspect", micro(), "--model"), 2, "--model")


class Help(unittest.TestCase):
    def test_program(self):
        result = run("--help")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        for command in (b"inspect", b"synth", b"tokenize", b"bench", b"Examples"):
            self.assertIn(command, result.stdout)

    def test_every_command_it_lists_explains_itself(self):
        lines = run("--help").stdout.decode().split("\nOptions:")[0].splitlines()
        commands = [line.split()[0] for line in lines if line.startswith("  ")]
        self.assertGreater(len(commands), 5)
        for command in commands:
            result = run(command, "--help")
            self.assertEqual((result.returncode, result.stderr), (0, b""), command)
            self.assertIn(f"Usage: smollm3 {command}", result.stdout.decode())
            self.assertLessEqual(max(len(line) for line in result.stdout.decode().splitlines()), 100, command)

    def test_version(self):
        result = run("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, rb"\Asmollm3 \d+\.\d+\.\d+\n\Z")


class BadFiles(unittest.TestCase):
    def refuse(self, file, *words):
        expect_error(self, run("inspect", file), 1, *words)
        expect_error(self, run("--model", file, "tokenize"), 1, *words)
        expect_error(self, run("tokenize", env=environment(SMOLLM3_MODEL=file)), 1, *words)

    def test_missing(self):
        self.refuse(path("missing.gguf"), "missing.gguf", "No such file")

    def test_folder(self):
        self.refuse(path(""), "not a regular file")

    def test_empty(self):
        open(path("empty.gguf"), "w").close()
        self.refuse(path("empty.gguf"), "empty")

    def test_text(self):
        with open(path("text.gguf"), "w") as file:
            file.write("This is no model.\n" * 100)
        self.refuse(path("text.gguf"), "text.gguf", "GGUF")

    def test_cut_off(self):
        with open(micro(), "rb") as file:
            whole = file.read()
        for size in (4, 23, 24, 100, 5000, len(whole) // 2, len(whole) - 1):
            with open(path("cut.gguf"), "wb") as file:
                file.write(whole[:size])
            result = run("--model", path("cut.gguf"), "logits", "--tokens", "1", "--out", path("cut.f32"))
            expect_error(self, result, 1, "cut.gguf")
            self.assertFalse(os.path.exists(path("cut.f32")))

    def test_line_break_in_a_name(self):
        expect_error(self, run("inspect", "no\nsuch\x1b[31mfile"), 1, "no such")


class Output(unittest.TestCase):
    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            expect_error(self, run("inspect", "--json", micro(), stdout=full), 1, "standard output", "No space left")
        expect_error(self, run("synth", "--shape", "micro", "--out", "/dev/full"), 1, "/dev/full", "No space left")
        self.assertTrue(os.path.exists("/dev/full"))

    def test_unwritable(self):
        expect_error(self, run("synth", "--shape", "micro", "--out", path("no/such/folder.gguf")), 1, "folder.gguf")
        expect_error(self, run("--model", micro(), "logits", "--tokens", "1", "--out", path("no/such")), 1, "no/such")

    def test_closed_output(self):
        result = run("inspect", micro(), preexec_fn=lambda: os.close(1))
        expect_error(self, result, 1, "standard output")

    def test_no_file_becomes_standard_output(self):
        out = path("not-overwritten.gguf")
        result = run("--quiet", "synth", "--shape", "micro", "--out", out, preexec_fn=lambda: os.close(1))
        self.assertEqual(result.returncode, 0)
        self.assertEqual(run("inspect", out).returncode, 0)

    def test_reader_that_goes_away(self):
        for signal_ignored in (False, True):
            reading, writing = os.pipe()
            os.close(reading)
            result = run("inspect", "--json", micro(), stdout=writing, restore_signals=not signal_ignored)
            os.close(writing)
            self.assertEqual((result.returncode, result.stderr), (1, b""))


class Choice(unittest.TestCase):
    """Which model is taken, and that it is said."""

    def announced(self, **env):
        result = run("tokenize", input=b"x", env=environment(**env))
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stderr.decode()

    def test_option_before_and_after_the_command(self):
        for arguments in (["--model", micro(), "tokenize"], ["tokenize", "--model", micro()]):
            result = run(*arguments, input=b"x", env=environment(SMOLLM3_MODEL=path("missing")))
            self.assertEqual((result.returncode, result.stderr), (0, b""))

    def test_environment(self):
        self.assertEqual(self.announced(SMOLLM3_MODEL=micro()), f"model: {micro()}\n")

    def test_quiet(self):
        result = run("--quiet", "tokenize", input=b"x", env=environment(SMOLLM3_MODEL=micro()))
        self.assertEqual((result.returncode, result.stderr), (0, b""))

    def test_newest_in_the_data_folder(self):
        data = path("data")
        os.makedirs(os.path.join(data, "smollm3", "folder.gguf"))
        for age, name in ((100, "old.gguf"), (50, "new.gguf"), (0, "newest.txt")):
            file = os.path.join(data, "smollm3", name)
            subprocess.run(["cp", micro(), file], check=True)
            stat = os.stat(file)
            os.utime(file, (stat.st_atime - age, stat.st_mtime - age))
        self.assertEqual(self.announced(XDG_DATA_HOME=data), f"model: {data}/smollm3/new.gguf\n")
        home = path("home")
        os.makedirs(os.path.join(home, ".local/share"))
        os.symlink(os.path.join(data, "smollm3"), os.path.join(home, ".local/share/smollm3"))
        self.assertEqual(self.announced(HOME=home), f"model: {home}/.local/share/smollm3/new.gguf\n")

    def test_without_any_file(self):
        result = run("tokenize", input=b"x", env=environment(HOME=path("nothing-there")))
        if result.returncode == 0:
            self.assertIn(b"inside the program", result.stderr)
        else:
            expect_error(self, result, 1, "without its demonstration model", "--model")


unittest.main()
