"""Runs the program on a file and says what of the contract for hostile files it broke."""
import os
import re
import resource
import signal
import tempfile
import time

PROGRAM = os.path.abspath(os.environ.get("SMOLLM3_PROGRAM", "build/release/smollm3"))
SANITIZED = os.environ.get("SMOLLM3_SANITIZED", "") not in ("", "0", "OFF")
# Processor time, so that other programs that are running do not count; a program that hangs is stopped by the clock.
MOST_SECONDS = 2
MOST_MEGABYTES = 200
SANITIZER_FACTOR = 20  # in time; memory is not measured then, since the sanitizer's own is most of it
HANGS_AFTER = 60
ERROR = re.compile(r"\Asmollm3: [^\x00-\x1f\x7f-\x9f]{1,1000}\n\Z")

folder = tempfile.mkdtemp(prefix="smollm3-hostile-")


def is_one_line(error):
    try:
        return ERROR.match(error.decode()) is not None
    except UnicodeDecodeError:
        return False


class Result:
    def __init__(self, code, out, error, seconds, megabytes):
        self.code, self.out, self.error, self.seconds, self.megabytes = code, out, error, seconds, megabytes

    def breach(self):
        """None, or what is wrong with how the program ended."""
        if self.code not in (0, 1):
            return f"ended with {self.code}"
        if self.code == 1 and not is_one_line(self.error):
            return "an error that is not one line of text"
        if self.code == 0 and self.error:
            return "words on standard error without an error"
        if self.seconds > MOST_SECONDS * (SANITIZER_FACTOR if SANITIZED else 1):
            return f"took {self.seconds:.1f} s"
        if self.megabytes > MOST_MEGABYTES and not SANITIZED:
            return f"took {self.megabytes:.0f} MB"
        return None


def environment():
    env = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "SMOLLM3_MODEL"))}
    env.update(HOME=folder, LC_ALL="C.UTF-8")
    return env


ENVIRONMENT = environment()


def hang(*_):
    raise TimeoutError


signal.signal(signal.SIGALRM, hang)


def run(*arguments):
    """The finished program. Standard input is empty."""
    out, error = os.path.join(folder, "out"), os.path.join(folder, "error")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, out, flags, 0o600), (os.POSIX_SPAWN_OPEN, 2, error, flags, 0o600)]
    pid = os.posix_spawn(PROGRAM, [PROGRAM, *arguments], ENVIRONMENT, file_actions=actions)
    resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    signal.alarm(HANGS_AFTER)
    try:
        _, status, usage = os.wait4(pid, 0)
        signal.alarm(0)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    with open(out, "rb") as stdout, open(error, "rb") as stderr:
        return Result(os.waitstatus_to_exitcode(status), stdout.read(), stderr.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


class Worst:
    """The most any run took."""

    def __init__(self):
        self.seconds = self.megabytes = 0
        self.runs = self.refused = 0
        self.start = time.monotonic()

    def add(self, result):
        self.runs += 1
        self.refused += result.code == 1
        self.seconds = max(self.seconds, result.seconds)
        self.megabytes = max(self.megabytes, result.megabytes)

    def __str__(self):
        return (f"{self.runs} runs of the program in {time.monotonic() - self.start:.0f} s, {self.refused} ended in an error; at most "
                f"{self.seconds:.2f} s of processor time and {self.megabytes:.0f} MB")
