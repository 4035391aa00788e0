"""Files made to harm, each fed to the program: it must run, or end with one line and exit code 1, within 2 s and 200 MB.

SMOLLM3_HOSTILE_MUTATIONS says how many mutations (default 400). One alone, kept as a file to look into:
    tests/hostile/hostile_test.py --mutation 1234 FILE
"""
import atexit
import collections
import fcntl
import itertools
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import time
import unittest

import cases
import mutations
import runner
from small_model import small_model

MUTATIONS = int(os.environ.get("SMOLLM3_HOSTILE_MUTATIONS", "400"))
FILE = os.path.join(runner.folder, "model.gguf")
RUN = ["--threads", "1", "--model", FILE, "run", "--max-tokens", "2", "--seed", "1"]
CHAT, RAW = [*RUN, "Hello"], [*RUN, "--raw", "--temp", "0", "the <think> 00"]
INSPECT, TABLE = ["inspect", "--json", FILE], ["inspect", "--tensors", FILE]
atexit.register(shutil.rmtree, runner.folder, ignore_errors=True)


def write(data):
    with open(FILE, "wb") as file:
        file.write(data)


def feed(made, pipe):
    for name, data, words in made:
        write(data)
        pipe.send((name, words))
        pipe.recv()
    pipe.send(None)


def files(made):
    """The names and words of `made`, each once its data is in FILE. They are made in a process of their own: this one stays
    small, since the kernel counts what it holds with the memory of each program that it starts."""
    here, there = multiprocessing.Pipe()
    maker = multiprocessing.get_context("fork").Process(target=feed, args=(made, there))
    maker.start()
    there.close()
    while (item := here.recv()) is not None:
        yield item
        here.send(None)
    maker.join()


def many_mutations():
    for number in range(MUTATIONS):
        changes, data = mutations.mutation(number)
        yield f"mutation {number} ({changes})", data, None


class Hostile(unittest.TestCase):
    def check(self, worst, name, command):
        result = runner.run(*command)
        worst.add(result)
        breach = result.breach()
        if breach:
            with self.subTest(name):
                self.fail(f"{name}: {' '.join(command)}: {breach}; {result.error[:5000].decode(errors='replace')}")
        return result

    def test_cases(self):
        worst = runner.Worst()
        for name, words in files(cases.cases()):
            result = self.check(worst, name, CHAT)
            with self.subTest(name):
                self.assertEqual(result.code, 0 if words is None else 1, result.error)
                for word in words or ():
                    self.assertIn(word, result.error.decode(errors="replace").replace(FILE, ""))
            self.check(worst, name, RAW)
            self.check(worst, name, TABLE if worst.runs % 4 == 0 else INSPECT)
        print(f"made by hand: {worst}", file=sys.stderr)

    def test_mutations(self):
        worst, reasons = runner.Worst(), collections.Counter()
        for number, (name, _) in enumerate(files(many_mutations())):
            result = self.check(worst, name, CHAT if number % 2 else RAW)
            reasons[re.sub(rb"[0-9]+|[\"'].*|named.*", b"", result.error.replace(FILE.encode(), b""))] += 1
            self.check(worst, name, TABLE if number % 4 == 0 else INSPECT)
        print(f"{MUTATIONS} mutations: {worst}; {len(reasons) - 1} different errors", file=sys.stderr)
        # Were nearly all refused for one reason, or run, the test would be worth little.
        self.assertGreater(len(reasons), min(MUTATIONS / 10, 60))
        self.assertGreater(reasons[b""], MUTATIONS / 30)
        self.assertLess(reasons[b""], MUTATIONS / 2)


@unittest.skipUnless("SMOLLM3_HOSTILE_DRIVER" in os.environ, "SMOLLM3_HOSTILE_DRIVER names no in_process")
class InProcess(unittest.TestCase):
    """The same files, one after another through one process: what one leaves behind meets the next."""

    def test_all(self):
        start, ran, count = time.monotonic(), 0, 0
        driver = subprocess.Popen([os.environ["SMOLLM3_HOSTILE_DRIVER"]], env=runner.ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, errors="replace")
        for name, words in files(itertools.chain(cases.cases(), many_mutations())):
            count += 1
            try:
                driver.stdin.write(FILE + "\n")
                driver.stdin.flush()
                answer = driver.stdout.readline()
            except BrokenPipeError:
                answer = ""
            if not answer.startswith(("ran", "error: ")):
                driver.kill()
                self.fail(f"{name}: {answer}{driver.communicate()[1][:5000]}")
            ran += answer == "ran\n"
            for word in words or ():
                self.assertIn(word, answer, name)
        out, error = driver.communicate()
        self.assertEqual((driver.returncode, out, error), (0, "", ""))
        self.assertGreater(ran, count / 20)
        print(f"in one process: {count} files in {time.monotonic() - start:.0f} s, {ran} of them ran", file=sys.stderr)


class CutWhileRead(unittest.TestCase):
    """A file that is cut short while the program has it mapped: reading what is gone raises SIGBUS."""

    def tearDown(self):
        self.program.stdout.close()
        self.program.stderr.close()

    def start(self, *arguments):
        self.program = subprocess.Popen([runner.PROGRAM, "--threads", "1", "--model", FILE, *arguments], env=runner.ENVIRONMENT,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ended(self):
        out, error = self.program.communicate(timeout=runner.HANGS_AFTER)
        return runner.Result(self.program.returncode, out, error, 0, 0)

    def test_while_it_answers(self):
        endless = small_model(specials=(), context=65536).bytes()  # no token ends its answer
        for size in (0, 1, 4096, 100000):
            write(endless)
            self.start("run", "--raw", "--temp", "0", "a")
            # It fills the pipe and waits, so it is under way however fast the machine is.
            fcntl.fcntl(self.program.stdout, fcntl.F_SETPIPE_SZ, 4096)
            self.program.stdout.read(1)
            os.truncate(FILE, size)
            result = self.ended()
            self.assertIsNone(result.breach(), result.error)
            self.assertEqual(result.code, 1)
            self.assertIn(b"cut short", result.error)

    def test_while_it_loads(self):
        """Whenever it happens, the program has either finished or says so."""
        data, moment = small_model().bytes(), random.Random(1)
        for _ in range(60):
            write(data)
            self.start("run", "--max-tokens", "2", "Hello")
            time.sleep(moment.uniform(0, 0.02 * (10 if runner.SANITIZED else 1)))
            os.truncate(FILE, moment.randrange(len(data)))
            result = self.ended()
            self.assertIsNone(result.breach(), result.error)
            self.program.stdout.close()
            self.program.stderr.close()


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--mutation":
        name, data = mutations.mutation(int(sys.argv[2]))
        with open(sys.argv[3], "wb") as file:
            file.write(data)
        print(name)
    else:
        unittest.main()


if __name__ == "__main__":
    main()
